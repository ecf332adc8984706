//! The public half of a key as text that came from somewhere.

use crate::error::{CommandError, Shown};
use privyseal_keys::{Certificate, CertificateError, PublicHalf, PublicHalfError};

/// Reads a certificate and the recipients beside it; the error names its source and says what to do.
pub(crate) fn public_half(name: &str, text: &[u8]) -> Result<PublicHalf, CommandError> {
    PublicHalf::from_text(text).map_err(|error| {
        let message = CommandError::input(format!("{}: {error}", Shown(name)));
        let error = match error {
            PublicHalfError::Certificate(error) => error,
            _ => return message.hint("`privyseal keys fetch` writes such a file anew"),
        };
        let hint = match &error {
            CertificateError::NoCertificate if looks_like_recipients(text) => {
                "this is a file of recipients, or of a Key Vault key: give it as --recipient FILE"
            }
            CertificateError::PrivateKeyGiven => {
                "a key Secret has the certificate beside it, as tls.crt; `privyseal keys fetch` gets it from the cluster"
            }
            CertificateError::NotRsa { .. } | CertificateError::Key(_) => {
                "this is not the certificate of a sealing key; `privyseal keys fetch` gets that one"
            }
            _ => "`privyseal keys fetch --context CONTEXT` gets the certificate from the cluster",
        };
        message.hint(hint)
    })
}

/// The certificate alone.
pub(crate) fn certificate_from_pem(name: &str, text: &[u8]) -> Result<Certificate, CommandError> {
    public_half(name, text).map(|half| half.certificate)
}

fn looks_like_recipients(text: &[u8]) -> bool {
    text.split(|&byte| byte == b'\n')
        .any(|line| line.starts_with(b"age1") || line.starts_with(b"-----BEGIN PUBLIC KEY"))
}
