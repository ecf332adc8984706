//! Where the sealing key comes from: one order for every command that seals.
//!
//! `--cert`, else `--context`, else nothing: the kubeconfig's current context is never taken in silence, since a
//! value that was sealed for the wrong cluster looks like any other.

use crate::cluster::{self, Connection};
use crate::download;
use crate::error::{CommandError, Shown};
use crate::input::Source;
use crate::speech;
use jiff::Timestamp;
use privyseal_envelope::Fingerprint;
use privyseal_envelope::rsa::SealingKey;
use privyseal_keys::{Certificate, CertificateError, NotUsable};
use std::fmt;
use std::path::{Path, PathBuf};
use url::Url;

/// Options that choose the sealing key.
#[derive(clap::Args)]
#[command(next_help_heading = "Sealing key")]
pub(crate) struct KeyOptions {
    /// The cluster's certificate: a file, or an https:// or file:// URL
    #[arg(long, value_name = "PATH|URL", conflicts_with = "context")]
    cert: Option<String>,

    /// Ask the cluster of this kubeconfig context. The current context is never used unless it is named here
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,

    /// The kubeconfig that has the context [default: $KUBECONFIG, or ~/.kube/config]
    #[arg(long, value_name = "PATH", requires = "context")]
    kubeconfig: Option<PathBuf>,

    /// The controller's namespace [default: privyseal; kube-system for the controller of sealed-secrets]
    #[arg(long, value_name = "NAMESPACE", requires = "context", value_parser = crate::commands::parse_namespace)]
    controller_namespace: Option<privyseal_envelope::Namespace>,

    /// The controller's Service, for a controller that publishes no signed list of keys
    #[arg(
        long,
        value_name = "NAME",
        requires = "context",
        default_value = cluster::DEFAULT_CONTROLLER_NAME,
        value_parser = crate::commands::parse_name
    )]
    controller_name: privyseal_envelope::Name,
}

/// Where a certificate is to be had.
pub(crate) enum KeyOrigin {
    /// A file, or stdin.
    File(Source),
    /// An https URL.
    Url(String),
    /// A cluster.
    Cluster(Connection),
}

/// A certificate, and who says that it is the one.
pub(crate) struct Found {
    /// The certificate, whatever its dates say.
    pub(crate) certificate: Certificate,
    /// Who says so.
    pub(crate) provenance: Provenance,
}

/// Who says that a certificate is the one to seal with.
pub(crate) enum Provenance {
    /// The command line named it.
    Named {
        /// The file or URL.
        name: String,
    },
    /// The cluster's signed list.
    Published {
        /// The API server.
        server: String,
        /// Whose signature the list bears.
        publisher: Fingerprint,
        /// The list's serial.
        serial: u64,
        /// When the list was written.
        time: Timestamp,
    },
    /// The controller's Service, without a signature.
    Served {
        /// The API server.
        server: String,
        /// `NAMESPACE/NAME` of the Service.
        service: String,
    },
}

impl KeyOptions {
    /// What the options ask for. Reads nothing yet.
    pub(crate) fn origin(&self) -> Result<KeyOrigin, CommandError> {
        let Self { cert, context, kubeconfig, controller_namespace, controller_name } = self;
        match (cert.as_deref(), context) {
            (Some(cert), _) => from_cert(cert),
            (None, Some(context)) => Ok(KeyOrigin::Cluster(Connection {
                context: context.clone(),
                kubeconfig: kubeconfig.clone(),
                controller_namespace: controller_namespace.clone(),
                controller_name: controller_name.clone(),
            })),
            (None, None) => Err(CommandError::input("no sealing key is given").hint(
                "give --cert FILE, or --context CONTEXT to ask a cluster; the current context is never used unnamed",
            )),
        }
    }
}

/// The URL for messages: what stands before an `@` of the host is a user and a password.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..host_end].rfind('@') {
        Some(at) => format!("{scheme}://***{}", &rest[at..]),
        None => url.to_owned(),
    }
}

/// A path, or a URL: whatever has `://` after a scheme.
fn from_cert(cert: &str) -> Result<KeyOrigin, CommandError> {
    match cert.split_once("://") {
        None => Ok(KeyOrigin::File(Source::from_argument(Path::new(cert)))),
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("file") => {
            let file = Url::parse(cert).ok().and_then(|url| url.to_file_path().ok());
            file.map(|path| KeyOrigin::File(Source::File(path))).ok_or_else(|| {
                CommandError::input(format!(
                    "{}: not the URL of a file on this machine: file:///PATH",
                    Shown(cert)
                ))
            })
        }
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => Ok(KeyOrigin::Url(cert.to_owned())),
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => Err(CommandError::input(format!(
            "{}: plain http is refused: whoever is on the way could put a key of their own in its place",
            Shown(&without_password(cert))
        ))
        .hint("use https, or fetch the certificate in a way you trust and give the file")),
        Some(_) => Err(CommandError::input(format!(
            "{}: only https and file URLs are known",
            Shown(&without_password(cert))
        ))),
    }
}

impl KeyOrigin {
    /// Gets the certificate.
    pub(crate) fn find(&self, now: Timestamp) -> Result<Found, CommandError> {
        match self {
            Self::File(source) => named(source.name(), &source.read_at_most(MAX_CERTIFICATE_BYTES)?),
            Self::Url(url) => named(without_password(url), &download::get(url, MAX_CERTIFICATE_BYTES)?),
            Self::Cluster(connection) => cluster::find_certificate(connection, now),
        }
    }
}

fn named(name: String, pem: &[u8]) -> Result<Found, CommandError> {
    let certificate = certificate_from_pem(&name, pem)?;
    Ok(Found { certificate, provenance: Provenance::Named { name } })
}

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

impl Found {
    /// Says on stderr which key is sealed with, and who says so.
    pub(crate) fn announce(&self) {
        self.provenance.announce();
        let (fingerprint, until) = (self.certificate.fingerprint(), self.certificate.not_after());
        speech::note(format_args!("sealing with key {fingerprint} (until {until})"));
    }

    /// The sealing key, if one may seal with it now.
    pub(crate) fn usable_at(&self, now: Timestamp) -> Result<&SealingKey, CommandError> {
        self.certificate.usable_at(now).map_err(|error| {
            let (what, hint) = match error {
                NotUsable::Expired { not_after } => (
                    format!("the certificate expired on {not_after}"),
                    "get the current one: `privyseal keys fetch --context CONTEXT`",
                ),
                NotUsable::NotYetValid { not_before } => (
                    format!("the certificate is not valid before {not_before}"),
                    "compare this machine's clock with that of the cluster",
                ),
            };
            CommandError::input(format!("{}: {what}", self.provenance)).hint(hint)
        })
    }
}

impl Provenance {
    /// Says on stderr what was taken from where, if the command line does not say it already.
    pub(crate) fn announce(&self) {
        match self {
            Self::Named { .. } => {}
            Self::Published { server, publisher, serial, time } => {
                speech::note(format_args!("cluster {}", Shown(server)));
                speech::note(format_args!("list {serial} of {time}, signed by publisher {publisher}"));
            }
            Self::Served { server, service } => {
                speech::note(format_args!("cluster {}", Shown(server)));
                speech::warning(format_args!(
                    "the Service {} gave the certificate, without a signature: compare the fingerprint",
                    Shown(service)
                ));
            }
        }
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named { name } => Shown(name).fmt(f),
            Self::Published { server, .. } | Self::Served { server, .. } => Shown(server).fmt(f),
        }
    }
}

/// More than any chain of certificates.
const MAX_CERTIFICATE_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(cert: &str) -> Result<KeyOrigin, String> {
        from_cert(cert).map_err(|error| error.reports()[0].0.clone())
    }

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        assert_eq!(without_password("https://u:p@h/a@b"), "https://***@h/a@b");
        assert_eq!(without_password("https://u:p@x@h?a"), "https://***@h?a");
        assert_eq!(without_password("https://h/a@b"), "https://h/a@b");
    }

    #[test]
    fn a_certificate_is_a_path_or_a_url_that_can_be_trusted() {
        for (cert, path) in [
            ("a.pem", "a.pem"),
            ("C:\\a.pem", "C:\\a.pem"),
            ("file:///etc/a.pem", "/etc/a.pem"),
            ("FILE://localhost/a.pem", "/a.pem"),
            ("file:///a%20b.pem", "/a b.pem"),
        ] {
            let origin = origin(cert);
            assert!(
                matches!(origin, Ok(KeyOrigin::File(Source::File(found))) if found == Path::new(path)),
                "{cert}"
            );
        }
        assert!(matches!(origin("-"), Ok(KeyOrigin::File(Source::Stdin))));
        assert!(matches!(origin("https://a/b"), Ok(KeyOrigin::Url(url)) if url == "https://a/b"));
        for bad in ["http://a/b", "HTTP://a/b", "ftp://a/b", "file://host/a", "://"] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
