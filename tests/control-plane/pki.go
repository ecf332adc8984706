package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// Names of the key files in the data folder. The four that tests use lie at
// its top, the rest in pki/.
const (
	caCertFile        = "ca.crt"
	caKeyFile         = "ca.key"
	saKeyFile         = "sa.key"
	saPublicKeyFile   = "sa.pub"
	serverCertFile    = "pki/apiserver.crt"
	serverKeyFile     = "pki/apiserver.key"
	frontCACertFile   = "pki/front-proxy-ca.crt"
	frontCAKeyFile    = "pki/front-proxy-ca.key"
	frontCertFile     = "pki/front-proxy-client.crt"
	frontKeyFile      = "pki/front-proxy-client.key"
	frontProxyName    = "front-proxy-client"
	certificateMargin = time.Hour // certificates count from an hour ago, so that clocks may differ
	certificateLife   = 10 * 365 * 24 * time.Hour
)

// pki holds what the parts of the control plane need to trust one another.
type pki struct {
	ca *authority
	// caPEM is the certificate that clients check the API server against.
	caPEM []byte
}

// authority is a certificate authority: its certificate and private key.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// preparePKI makes the authorities and the service account key at the first
// start and reads them at later ones, so that old kubeconfigs and tokens stay
// valid. The certificates below them are cheap and made anew at every start,
// since the addresses may have changed.
func preparePKI(d *dataDir, serverIPs []net.IP) (*pki, error) {
	ca, err := loadOrMakeAuthority(d, caCertFile, caKeyFile, "control-plane-ca")
	if err != nil {
		return nil, err
	}
	frontCA, err := loadOrMakeAuthority(d, frontCACertFile, frontCAKeyFile, "control-plane-front-proxy-ca")
	if err != nil {
		return nil, err
	}
	if err := makeServiceAccountKey(d); err != nil {
		return nil, err
	}

	server := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{
			"localhost",
			"kubernetes",
			"kubernetes.default",
			"kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local",
		},
		IPAddresses: serverIPs,
	}
	if err := ca.issueTo(d, server, serverCertFile, serverKeyFile); err != nil {
		return nil, err
	}
	front := &x509.Certificate{
		Subject:     pkix.Name{CommonName: frontProxyName},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if err := frontCA.issueTo(d, front, frontCertFile, frontKeyFile); err != nil {
		return nil, err
	}
	return &pki{ca: ca, caPEM: encodeCertificate(ca.cert.Raw)}, nil
}

// adminClient issues a client certificate that RBAC never refuses: members of
// system:masters may do everything.
func (p *pki) adminClient(name string) (certPEM, keyPEM []byte, err error) {
	return p.ca.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name, Organization: []string{"system:masters"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

func loadOrMakeAuthority(d *dataDir, certFile, keyFile, name string) (*authority, error) {
	a, err := loadAuthority(d, certFile, keyFile)
	if !errors.Is(err, os.ErrNotExist) {
		return a, err
	}

	key, err := newECKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	self := &authority{cert: template, key: key}
	der, err := self.sign(template, key.Public())
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	// The certificate goes last: a start that dies in between makes both anew.
	if err := d.writeFile(keyFile, keyPEM, 0o600); err != nil {
		return nil, err
	}
	if err := d.writeFile(certFile, encodeCertificate(der), 0o644); err != nil {
		return nil, err
	}
	return loadAuthority(d, certFile, keyFile)
}

func loadAuthority(d *dataDir, certFile, keyFile string) (*authority, error) {
	certPEM, err := os.ReadFile(d.file(certFile))
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(d.file(keyFile))
	if err != nil {
		return nil, err
	}
	certBlock, _ := pem.Decode(certPEM)
	keyBlock, _ := pem.Decode(keyPEM)
	if certBlock == nil || keyBlock == nil {
		return nil, fmt.Errorf("%s or %s is not a PEM file", d.file(certFile), d.file(keyFile))
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.file(certFile), err)
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.file(keyFile), err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: a %T cannot sign", d.file(keyFile), key)
	}
	return &authority{cert: cert, key: signer}, nil
}

// issue signs a new key pair under template.
func (a *authority) issue(template *x509.Certificate) (certPEM, keyPEM []byte, err error) {
	key, err := newECKey()
	if err != nil {
		return nil, nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := a.sign(template, key.Public())
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err = encodeKey(key)
	return encodeCertificate(der), keyPEM, err
}

func (a *authority) issueTo(d *dataDir, template *x509.Certificate, certFile, keyFile string) error {
	certPEM, keyPEM, err := a.issue(template)
	if err != nil {
		return err
	}
	if err := d.writeFile(certFile, certPEM, 0o644); err != nil {
		return err
	}
	return d.writeFile(keyFile, keyPEM, 0o600)
}

func (a *authority) sign(template *x509.Certificate, public crypto.PublicKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-certificateMargin)
	template.NotAfter = template.NotBefore.Add(certificateLife)
	return x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
}

// makeServiceAccountKey makes the key pair that signs service account tokens,
// unless it is there. It is RSA, as in clusters that kubeadm makes, so that
// tokens look like those that Privyseal meets.
func makeServiceAccountKey(d *dataDir) error {
	if _, err := os.Stat(d.file(saPublicKeyFile)); err == nil {
		return nil
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := d.writeFile(saKeyFile, keyPEM, 0o600); err != nil {
		return err
	}
	return d.writeFile(saPublicKeyFile, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o644)
}

func newECKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
