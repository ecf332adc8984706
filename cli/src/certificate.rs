//! A certificate as text that came from somewhere.

use crate::error::{CommandError, Shown};
use privyseal_keys::{Certificate, CertificateError};

/// Reads a certificate; the error names its source and says what to do.
pub(crate) fn certificate_from_pem(name: &str, pem: &[u8]) -> Result<Certificate, CommandError> {
    Certificate::from_pem(pem).map_err(|error| {
        let hint = match &error {
            CertificateError::PrivateKeyGiven => {
                "a key Secret has the certificate beside it, as tls.crt; `privyseal keys fetch` gets it from the cluster"
            }
            CertificateError::NotRsa { .. } | CertificateError::Key(_) => {
                "this is not the certificate of a sealing key; `privyseal keys fetch` gets that one"
            }
            _ => "`privyseal keys fetch --context CONTEXT` gets the certificate from the cluster",
        };
        CommandError::input(format!("{}: {error}", Shown(name))).hint(hint)
    })
}
