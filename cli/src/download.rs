//! A certificate from an https URL.
//!
//! reqwest, since it brings what one would forget: proxies from the environment, redirects, certificates of the
//! platform. It comes with the Azure SDK in any case; its TLS is rustls on aws-lc-rs, as everywhere here.

use crate::error::{CommandError, Shown};
use crate::network::{innermost, install_crypto_provider, run_async};
use reqwest::{Client, redirect};
use std::time::Duration;

/// What the URL gives, if that is at most `max` bytes.
pub(crate) fn get(url: &str, max: usize) -> Result<Vec<u8>, CommandError> {
    install_crypto_provider();
    run_async(fetch(url, max))?
}

async fn fetch(url: &str, max: usize) -> Result<Vec<u8>, CommandError> {
    let client = Client::builder()
        .https_only(true)
        .redirect(redirect::Policy::limited(MOST_REDIRECTS))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .user_agent(concat!("privyseal/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| CommandError::failed(message(url, error)))?;
    let mut response = client.get(url).send().await.map_err(|error| failed(url, error))?;
    if !response.status().is_success() {
        return Err(CommandError::failed(format!(
            "{}: the server answered {}",
            Shown(&without_password(url)),
            response.status()
        )));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(url, error))? {
        body.extend_from_slice(&chunk);
        if body.len() > max {
            return Err(CommandError::input(format!(
                "{}: more than {max} bytes",
                Shown(&without_password(url))
            )));
        }
    }
    Ok(body)
}

/// A request that failed. The status tells a URL that is none, and a server that cannot be reached.
fn failed(url: &str, error: reqwest::Error) -> CommandError {
    let (bad_url, unreachable) = (error.is_builder(), error.is_connect() || error.is_timeout());
    let message = message(url, error);
    match (bad_url, unreachable) {
        (true, _) => CommandError::input(message),
        (_, true) => CommandError::unreachable(message),
        _ => CommandError::failed(message),
    }
}

/// The innermost cause says most. reqwest's own text would repeat the URL, and with it a password.
fn message(url: &str, error: reqwest::Error) -> String {
    let cause =
        if error.is_timeout() { "no answer in time".to_owned() } else { innermost(&error.without_url()) };
    format!("{}: {}", Shown(&without_password(url)), Shown(&cause))
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

const MOST_REDIRECTS: usize = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        assert_eq!(without_password("https://u:p@h/a@b"), "https://***@h/a@b");
        assert_eq!(without_password("https://u:p@x@h?a"), "https://***@h?a");
        assert_eq!(without_password("https://h/a@b"), "https://h/a@b");
    }
}
