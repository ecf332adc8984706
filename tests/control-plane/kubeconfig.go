package main

import (
	"net"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const kubeconfigFile = "kubeconfig"

// writeKubeconfig writes the cluster administrator's kubeconfig, with all keys
// and certificates inside, and returns the same as a client configuration.
func writeKubeconfig(d *dataDir, p *pki, hostPort string) (*rest.Config, error) {
	cert, key, err := p.adminClient("control-plane-admin")
	if err != nil {
		return nil, err
	}
	const name = "control-plane"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{
		Server:                   "https://" + hostPort,
		CertificateAuthorityData: p.caPEM,
	}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	text, err := clientcmd.Write(*config)
	if err != nil {
		return nil, err
	}
	if err := d.writeFile(kubeconfigFile, text, 0o600); err != nil {
		return nil, err
	}
	return clientConfig(p, hostPort, cert, key), nil
}

// controllerConfig is the client configuration of the controllers.
func controllerConfig(p *pki, hostPort string) (*rest.Config, error) {
	cert, key, err := p.adminClient("system:kube-controller-manager")
	if err != nil {
		return nil, err
	}
	return clientConfig(p, hostPort, cert, key), nil
}

func clientConfig(p *pki, hostPort string, cert, key []byte) *rest.Config {
	return &rest.Config{
		Host:            "https://" + hostPort,
		TLSClientConfig: rest.TLSClientConfig{CAData: p.caPEM, CertData: cert, KeyData: key},
		// A limit of our own would only slow the tests.
		QPS: -1,
	}
}

// clientHost is the address at which clients reach a server bound to ip.
func clientHost(ip, advertise net.IP) net.IP {
	if ip.IsUnspecified() {
		return advertise
	}
	return ip
}
