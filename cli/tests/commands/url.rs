//! `--cert https://…`, against a TLS server of our own.

use crate::harness::{Scene, has, key, secret};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

/// Answers every request by its path. Gives the port and the certificate to trust.
fn serve(answer: impl Fn(&str) -> String + Send + 'static) -> (u16, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], private)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && tls.read(&mut byte).is_ok_and(|read| read == 1) {
                request.extend(byte);
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let path = request.split_whitespace().nth(1).unwrap_or_default();
            let _ = tls.write_all(answer(path).as_bytes());
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    });
    (port, cert.pem())
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn https_is_fetched_within_bounds() {
    let (port, root) = serve(|path| {
        match path {
        "/cert.pem" => ok(&key().certificate),
        "/moved" => "HTTP/1.1 302 Found\r\nlocation: /cert.pem\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "/plain" => {
            "HTTP/1.1 302 Found\r\nlocation: http://localhost/c\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned()
        }
        "/large" => ok(&"x".repeat(2 << 20)),
        "/garbage" => ok("garbage"),
        _ => "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned(),
    }
    });
    let scene = Scene::new();
    let roots = scene.file("roots.pem", root);
    let run = |path: &str| {
        let url = format!("https://user:password@localhost:{port}{path}");
        scene
            .run_with(["seal", "--cert", &url])
            .env("SSL_CERT_FILE", &roots)
            .stdin(secret(Some("ns"), Some("a")))
    };
    for path in ["/cert.pem", "/moved"] {
        has(&run(path).succeeds().stderr, &[&key().fingerprint]);
    }
    for (path, status, says) in [
        ("/missing", 1, "the server answered 404"),
        ("/plain", 1, ""),
        ("/large", 2, "more than 1048576 bytes"),
        ("/garbage", 2, "no PEM block CERTIFICATE"),
    ] {
        let error = run(path).fails(status);
        has(&error, &[says, &format!("https://***@localhost:{port}{path}: ")]);
        assert!(!error.contains("password"), "{error}");
    }
    let other = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = scene.file("other.pem", other.cert.pem());
    let url = format!("https://localhost:{port}/cert.pem");
    let error = scene.run_with(["keys", "fetch", "--cert", &url]).env("SSL_CERT_FILE", &other).fails(3);
    has(&error, &[&url]);
}

#[test]
fn plain_http_and_other_schemes_are_refused() {
    let scene = Scene::new();
    let error = scene.run("keys fetch --cert http://user:password@example.com/c").fails(2);
    has(&error, &["plain http is refused", "hint: use https"]);
    assert!(!error.contains("password"));
    has(&scene.run("keys fetch --cert ftp://example.com/c").fails(2), &["only https and file URLs"]);
    has(&scene.run("keys fetch --cert https://").fails(2), &["https://"]);
}
