//! A vault and a token endpoint in memory, as the SDK's HTTP client. They answer as the real ones do, and otherwise what
//! a test scripted.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

use super::super::{Answer, Observer, Operation};
use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Method, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{Timestamp, ToSpan as _};
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::traits::PublicKeyParts as _;
use rsa::{Oaep, PrivateKey};
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const VAULT: &str = "https://team.vault.azure.net";
/// How far its clock is ahead, in seconds.
pub(super) const AHEAD: i64 = 3600;

/// What is answered instead.
pub(super) enum Scripted {
    Answer(u16, Vec<(&'static str, String)>, String),
    Never,
    Untrusted,
}

pub(super) fn answer(status: u16, body: &str) -> Scripted {
    Scripted::Answer(status, Vec::new(), body.to_owned())
}

impl Scripted {
    async fn send(self) -> azure_core::Result<AsyncRawResponse> {
        match self {
            Self::Answer(status, headers, body) => Ok(response(status, &headers, body)),
            Self::Never => std::future::pending().await,
            Self::Untrusted => {
                let why = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
                let io = std::io::Error::other(why);
                Err(azure_core::Error::with_error(ErrorKind::Connection, io, "canary"))
            }
        }
    }
}

pub(super) fn http_date(seconds_from_now: i64) -> String {
    let time = Timestamp::now() + seconds_from_now.seconds();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap()
}

fn response(status: u16, more: &[(&'static str, String)], body: String) -> AsyncRawResponse {
    let mut headers = Headers::new();
    headers.insert("date", http_date(AHEAD));
    for (name, value) in more {
        headers.insert(*name, value.clone());
    }
    AsyncRawResponse::from_bytes(StatusCode::from(status), headers, body.into_bytes())
}

fn ok(body: &Value) -> azure_core::Result<AsyncRawResponse> {
    Ok(response(200, &[], body.to_string()))
}

fn refused(status: u16, code: &str) -> azure_core::Result<AsyncRawResponse> {
    Ok(response(status, &[], json!({"error": {"code": code, "message": "canary"}}).to_string()))
}

struct Secret {
    name: String,
    version: String,
    value: String,
    content_type: Value,
    tags: Value,
    attributes: Value,
}

struct Script {
    after: usize,
    path: String,
    answer: Scripted,
}

struct State {
    keys: Vec<(String, PrivateKey)>,
    key_attributes: String,
    key_operations: String,
    secrets: Vec<Secret>,
    garbled: bool,
    resource: String,
    refused_token: Option<String>,
    scripts: Vec<Script>,
    requests: Vec<String>,
    versions: u32,
}

impl State {
    fn version(&mut self) -> String {
        self.versions += 1;
        format!("{:032x}", self.versions)
    }
}

/// The vault `team`, with key `privyseal`.
pub(super) struct Double(Mutex<State>);

impl std::fmt::Debug for Double {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Double")
    }
}

fn generate() -> PrivateKey {
    use privyseal_envelope::rsa::{KeySize, OpeningKey};
    let key = OpeningKey::generate(KeySize::Rsa2048).unwrap();
    PrivateKey::from_pkcs1_der(&key.to_pkcs1_der().unwrap()).unwrap()
}

impl Double {
    pub(super) fn new() -> Self {
        let mut state = State {
            keys: Vec::new(),
            key_attributes: r#""enabled":true"#.to_owned(),
            key_operations: r#"["wrapKey","unwrapKey"]"#.to_owned(),
            secrets: Vec::new(),
            garbled: false,
            resource: "https://vault.azure.net".to_owned(),
            refused_token: None,
            scripts: Vec::new(),
            requests: Vec::new(),
            versions: 0xabc0,
        };
        let version = state.version();
        state.keys.push((version, generate()));
        Self(Mutex::new(state))
    }

    /// A new version of the key.
    pub(super) fn rotate(&self) -> String {
        let key = generate();
        let mut state = self.0.lock().unwrap();
        let version = state.version();
        state.keys.push((version.clone(), key));
        version
    }

    pub(super) fn current(&self) -> String {
        self.0.lock().unwrap().keys.last().unwrap().0.clone()
    }

    pub(super) fn modulus(&self) -> String {
        modulus(&self.0.lock().unwrap().keys.last().unwrap().1)
    }

    /// What somebody does who may unwrap: the fresh key, wrapped for another version.
    pub(super) fn rewrap(&self, wrapped: &str, version: &str) -> String {
        let state = self.0.lock().unwrap();
        let fresh =
            state.keys[0].1.decrypt(Oaep::<Sha256>::new(), &STANDARD.decode(wrapped).unwrap()).unwrap();
        let (_, key) = state.keys.iter().find(|(one, _)| one == version).unwrap();
        let spki = rsa::pkcs8::EncodePublicKey::to_public_key_der(&key.to_public_key()).unwrap();
        let key = privyseal_envelope::rsa::SealingKey::from_spki_der(spki.as_bytes()).unwrap();
        // Sealing the fresh key as if it were a private half would wrap another one: so it is done by hand.
        STANDARD.encode(oaep(&key, &fresh))
    }

    pub(super) fn set_key_attributes(&self, attributes: &str) {
        self.0.lock().unwrap().key_attributes = attributes.to_owned();
    }

    pub(super) fn set_key_operations(&self, operations: &str) {
        self.0.lock().unwrap().key_operations = operations.to_owned();
    }

    /// Gives the id of a new version.
    pub(super) fn put_secret(&self, name: &str, value: &str, attributes: &str) -> String {
        let mut state = self.0.lock().unwrap();
        let version = state.version();
        state.secrets.push(Secret {
            name: name.to_owned(),
            version: version.clone(),
            value: value.to_owned(),
            content_type: Value::Null,
            tags: Value::Null,
            attributes: serde_json::from_str(&format!("{{{attributes}}}")).unwrap(),
        });
        format!("{VAULT}/secrets/{name}/{version}")
    }

    pub(super) fn garble_values(&self) {
        self.0.lock().unwrap().garbled = true;
    }

    pub(super) fn challenge_with(&self, resource: &str) {
        self.0.lock().unwrap().resource = resource.to_owned();
    }

    /// No token is good enough.
    pub(super) fn refuse_tokens(&self, body: &str) {
        self.0.lock().unwrap().refused_token = Some(body.to_owned());
    }

    /// The next call with a token and that in its path is answered so.
    pub(super) fn script(&self, path: &str, answer: Scripted) {
        self.script_after(0, path, answer);
    }

    /// Not the next, but the one after so many.
    pub(super) fn script_after(&self, after: usize, path: &str, answer: Scripted) {
        self.0.lock().unwrap().scripts.push(Script { after, path: path.to_owned(), answer });
    }

    /// Method and address of every call.
    pub(super) fn requests(&self) -> Vec<String> {
        self.0.lock().unwrap().requests.clone()
    }

    fn scripted(&self, path: &str) -> Option<Scripted> {
        let mut state = self.0.lock().unwrap();
        let at = state.scripts.iter().position(|script| path.contains(&script.path))?;
        if state.scripts[at].after > 0 {
            state.scripts[at].after -= 1;
            return None;
        }
        Some(state.scripts.remove(at).answer)
    }
}

#[async_trait]
impl HttpClient for Double {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let has_token = request
            .headers()
            .iter()
            .any(|(name, value)| name.as_str() == "authorization" && value.as_str() == "Bearer canary-token");
        {
            let mut state = self.0.lock().unwrap();
            state.requests.push(format!("{} {}", request.method(), request.url()));
            let body = match &state.refused_token {
                Some(body) => body.clone(),
                None if has_token => String::new(),
                None => r#"{"error":{"code":"Unauthorized","message":"AKV10000: canary"}}"#.to_owned(),
            };
            if !body.is_empty() {
                let resource = &state.resource;
                let challenge =
                    format!(r#"Bearer authorization="https://login.evil.example/t", resource="{resource}""#);
                return Ok(response(401, &[("www-authenticate", challenge)], body));
            }
        }
        let path = request.url().path().to_owned();
        if let Some(scripted) = self.scripted(&path) {
            return scripted.send().await;
        }
        let Body::Bytes(body) = request.body() else { panic!("a body that is a stream") };
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let path: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let mut state = self.0.lock().unwrap();
        match (request.method(), path.as_slice()) {
            (Method::Get, ["keys", "privyseal", rest @ ..]) => {
                let wanted = rest.first().copied();
                match state
                    .keys
                    .iter()
                    .rev()
                    .find(|(version, _)| wanted.is_none_or(|wanted| wanted == version))
                {
                    Some((version, key)) => ok(&described(&state, version, key)),
                    None => refused(404, "KeyNotFound"),
                }
            }
            (Method::Post, ["keys", "privyseal", version, "unwrapkey"]) => {
                assert_eq!(body["alg"], "RSA-OAEP-256");
                let wrapped = URL_SAFE_NO_PAD.decode(body["value"].as_str().unwrap()).unwrap();
                let Some((_, key)) = state.keys.iter().find(|(one, _)| one == version) else {
                    return refused(404, "KeyNotFound");
                };
                match key.decrypt(Oaep::<Sha256>::new(), &wrapped) {
                    Ok(fresh) => ok(&json!({
                        "kid": format!("{VAULT}/keys/privyseal/{version}"),
                        "value": URL_SAFE_NO_PAD.encode(fresh),
                    })),
                    Err(_) => refused(400, "BadParameter"),
                }
            }
            (Method::Put, ["secrets", name]) => {
                let version = state.version();
                let mut value = body["value"].as_str().unwrap().to_owned();
                if state.garbled {
                    value.push('!');
                }
                let secret = Secret {
                    name: (*name).to_owned(),
                    version,
                    value,
                    content_type: body["contentType"].clone(),
                    tags: body["tags"].clone(),
                    attributes: json!({"enabled": true, "created": 5000}),
                };
                let told = told(&secret, true);
                state.secrets.push(secret);
                ok(&told)
            }
            (Method::Get, ["secrets", name, "versions"]) => {
                let of_name: Vec<&Secret> = state.secrets.iter().filter(|one| one.name == *name).collect();
                if of_name.is_empty() {
                    return refused(404, "SecretNotFound");
                }
                let all: Vec<Value> = of_name.into_iter().map(|one| told(one, false)).collect();
                // In pages of two.
                let page: usize = request
                    .url()
                    .query_pairs()
                    .find_map(|(key, value)| (key == "page").then(|| value.parse().unwrap()))
                    .unwrap_or(0);
                let next = (all.len() > 2 * page + 2)
                    .then(|| format!("{VAULT}/secrets/{name}/versions?page={}", page + 1));
                let value: Vec<&Value> = all.iter().skip(2 * page).take(2).collect();
                ok(&json!({"value": value, "nextLink": next}))
            }
            (Method::Get, ["secrets", name, version]) => {
                match state.secrets.iter().find(|one| one.name == *name && one.version == *version) {
                    Some(one) => ok(&told(one, true)),
                    None => refused(404, "SecretNotFound"),
                }
            }
            other => panic!("not a call that the double knows: {other:?}"),
        }
    }
}

fn modulus(key: &PrivateKey) -> String {
    // As Java writes it: a zero byte in front.
    let mut n = vec![0];
    n.extend(key.n().to_be_bytes_trimmed_vartime());
    URL_SAFE_NO_PAD.encode(n)
}

fn described(state: &State, version: &str, key: &PrivateKey) -> Value {
    let attributes: Value = serde_json::from_str(&format!("{{{}}}", state.key_attributes)).unwrap();
    let operations: Value = serde_json::from_str(&state.key_operations).unwrap();
    json!({
        "key": {
            "kid": format!("{VAULT}/keys/privyseal/{version}"),
            "kty": "RSA",
            "n": modulus(key),
            "e": "AQAB",
            "key_ops": operations,
        },
        "attributes": attributes,
    })
}

fn told(secret: &Secret, with_value: bool) -> Value {
    let mut told = json!({
        "id": format!("{VAULT}/secrets/{}/{}", secret.name, secret.version),
        "contentType": secret.content_type,
        "tags": secret.tags,
        "attributes": secret.attributes,
    });
    if with_value {
        told["value"] = Value::String(secret.value.clone());
    }
    told
}

/// RSA-OAEP-256 on the other library.
fn oaep(key: &privyseal_envelope::rsa::SealingKey, message: &[u8]) -> Vec<u8> {
    use rsa::pkcs8::DecodePublicKey as _;
    let key = rsa::PublicKey::from_public_key_der(key.spki_der()).unwrap();
    let mut rng = rsa::rand_core::UnwrapErr(getrandom::SysRng);
    key.encrypt(&mut rng, Oaep::<Sha256>::new(), message).unwrap()
}

/// Microsoft Entra and the instance metadata service: a token for anybody.
#[derive(Default)]
pub(super) struct Tokens {
    scripts: Mutex<Vec<Scripted>>,
    requests: Mutex<Vec<String>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    pub(super) fn script(&self, answer: Scripted) {
        self.scripts.lock().unwrap().push(answer);
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(super) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

#[async_trait]
impl HttpClient for Tokens {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        self.requests.lock().unwrap().push(format!("{} {}", request.method(), request.url()));
        let scripted = self.scripts.lock().unwrap().pop();
        if let Some(scripted) = scripted {
            return scripted.send().await;
        }
        let until = (Timestamp::now().as_second() + 3600).to_string();
        ok(&json!({
            "token_type": "Bearer",
            "expires_in": if request.method() == Method::Get { json!("3600") } else { json!(3600) },
            "expires_on": until,
            "resource": "https://vault.azure.net",
            "access_token": "canary-token",
        }))
    }
}

/// Remembers everything.
#[derive(Default)]
pub(super) struct Observed {
    calls: Mutex<Vec<(Operation, Answer)>>,
    least_budget: Mutex<Option<u32>>,
    passed_over: Mutex<Vec<String>>,
}

impl Observed {
    pub(super) fn calls(&self) -> Vec<(Operation, Answer)> {
        self.calls.lock().unwrap().clone()
    }

    pub(super) fn count(&self, operation: Operation, answer: Answer) -> u32 {
        let calls = self.calls();
        u32::try_from(calls.iter().filter(|call| **call == (operation, answer)).count()).unwrap()
    }

    pub(super) fn least_budget(&self) -> Option<u32> {
        *self.least_budget.lock().unwrap()
    }

    pub(super) fn passed_over(&self) -> Vec<String> {
        self.passed_over.lock().unwrap().clone()
    }
}

impl Observer for Observed {
    fn called(&self, operation: Operation, answer: Answer) {
        self.calls.lock().unwrap().push((operation, answer));
    }

    fn budget_left(&self, calls: u32) {
        let mut least = self.least_budget.lock().unwrap();
        *least = Some(least.map_or(calls, |before| before.min(calls)));
    }

    fn passed_over(&self, message: &str) {
        self.passed_over.lock().unwrap().push(message.to_owned());
    }
}

/// Answers 503 to everything, over TLS with a certificate of its own.
pub(super) struct TlsVault {
    pub(super) port: u16,
    /// PEM.
    pub(super) certificate: String,
}

impl TlsVault {
    pub(super) async fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Who does not trust the certificate breaks off here.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let _ = stream.read(&mut [0; 4096]).await;
                let answer =
                    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { port, certificate: made.cert.pem() }
    }
}
