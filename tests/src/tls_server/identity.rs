//! A server's certificate, from a CA that exists only in its memory.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;

/// What the server shows at `address`, and the CA certificate by which clients know it. `name` is of the CA.
pub(super) fn identity(address: Ipv4Addr, name: &str) -> (TlsAcceptor, String) {
    let key = || KeyPair::generate().expect("an EC key");
    let mut ca_params = CertificateParams::default();
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca_params.distinguished_name.push(DnType::CommonName, format!("{name} CA"));
    let ca_key = key();
    let ca_pem = ca_params.self_signed(&ca_key).expect("a CA certificate").pem();
    let issuer = Issuer::new(ca_params, ca_key);

    let mut params = CertificateParams::new([address.to_string()]).expect("an address");
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    let server_key = key();
    let certificate = params.signed_by(&server_key, &issuer).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(server_key.serialize_der().into());
    // Named, so that nothing depends on which provider the process has as its default.
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("certificate and key match");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), ca_pem)
}
