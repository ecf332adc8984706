//! What strangers can cost: little, whatever they send.

use super::{ROUTES, post, stranger};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use privyseal_tests::objects::{self, wait_for_secret};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::world::Place;
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// For one request.
const ATTEMPTS: f64 = 256.0;

async fn private_operations(controller: &Controller) -> f64 {
    controller.metrics().await.sum("privyseal_private_operations_total", &[])
}

/// A thousand values that look as if they were sealed to a key of 2048 bits.
fn garbage(namespace: &str) -> Value {
    let mut bytes = vec![7_u8; 2 + 256 + 40];
    bytes[..2].copy_from_slice(&256_u16.to_be_bytes());
    let value = STANDARD.encode(bytes);
    let items: serde_json::Map<_, _> = (0..1000).map(|n| (format!("k{n}"), json!(value))).collect();
    json!({
        "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
        "metadata": {"name": "garbage", "namespace": namespace}, "spec": {"encryptedData": items},
    })
}

#[tokio::test]
async fn garbage_and_floods_cost_a_bounded_amount_and_hold_nobody_up() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release = Release::install(&control_plane, ReleaseOptions::default()).await;
    let controller = Controller::start(&release, ControllerOptions::default()).await;
    let namespace = control_plane.namespace("flood").await;
    let sealer = Sealer::of(&controller).await;
    let good = sealer.seal(&namespace, "good", &[("a", "1")], &[]);
    let garbage = garbage(&namespace);
    for path in ROUTES {
        let before = private_operations(&controller).await;
        assert_eq!(post(&controller, path, &garbage).await.status, 409);
        assert_eq!(private_operations(&controller).await - before, ATTEMPTS);
    }

    let before = private_operations(&controller).await;
    let flood = join_all(
        (0..64).map(|n| post(&controller, ROUTES[n / 2 % 2], if n % 2 == 0 { &garbage } else { &good })),
    );
    let meanwhile = async {
        objects::apply(&client, None, &good).await;
        wait_for_secret(&client, &namespace, "good", &[("a", b"1")]).await;
        controller.http("/readyz").await.status
    };
    let (answers, ready) = tokio::join!(flood, meanwhile);
    assert_eq!(ready, 200);
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!(count(200) + count(409) + count(503), 64, "{answers:?}");
    assert!(count(503) > 0, "64 at once are more than may wait");
    let refused = answers.iter().filter(|answer| answer.status == 503);
    refused.for_each(|answer| assert_eq!((answer.header("retry-after"), answer.body.len()), ("5", 0)));
    let bound = ATTEMPTS * count(409) as f64 + count(200) as f64 + 1.0;
    let cost = private_operations(&controller).await - before;
    assert!(cost <= bound, "{cost} for {} of garbage", count(409));
    // Over as soon as it is over.
    assert_eq!(post(&controller, "/v1/verify", &good).await.status, 200);
    let metrics = controller.metrics().await;
    let told = |route| metrics.sum("privyseal_http_answers_total", &[("route", route), ("code", "503")]);
    assert_eq!(told("verify") + told("rotate"), count(503) as f64);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let place = Place::new("slow").await;
    let controller = &place.world.controller;
    let slow = async |path| {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, controller.port())).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let started = Instant::now();
        let (mut read, mut write) = stream.split();
        let drip = async {
            while write.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            std::future::pending::<()>().await;
        };
        let mut answer = [0; 12];
        tokio::select! {
            done = read.read_exact(&mut answer) => assert_eq!(done.unwrap(), 12),
            () = drip => {}
        }
        (String::from_utf8_lossy(&answer).into_owned(), started.elapsed())
    };
    // Many of them keep nobody out.
    let all = join_all((0..40).map(|n| slow(ROUTES[n % 2])));
    let honest = async {
        let good = place.world.sealer.seal(&place.namespace, "good", &[("a", "1")], &[]);
        post(controller, "/v1/verify", &good).await.status
    };
    let (all, honest) = tokio::join!(all, honest);
    assert_eq!(honest, 200);
    for (answer, time) in all {
        assert_eq!(answer, "HTTP/1.1 408");
        assert!(time < Duration::from_secs(30), "{time:?}");
    }
}

#[tokio::test]
async fn a_value_of_another_key_size_is_one_that_does_not_open() {
    let place = Place::new("size").await;
    let sealed = stranger("3072").seal(&place.namespace, "db", &[("a", "1")], &[]);
    for path in ROUTES {
        assert_eq!(post(&place.world.controller, path, &sealed).await.status, 409);
    }
}

/// What the chart gives a container.
const MEMORY_LIMIT_KIB: usize = 256 * 1024;

/// The most that a process ever had in memory.
fn peak_memory_kib(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Sends a request whole and reads nothing of the answer.
async fn ask_and_do_not_read(port: u16, path: &str, body: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body.as_bytes()).await.ok()?;
    Some(stream)
}

#[tokio::test]
async fn hostile_bodies_stay_within_the_memory_that_the_chart_gives() {
    let control_plane = ControlPlane::start();
    let release = Release::install(&control_plane, ReleaseOptions::default()).await;
    let mut controller = Controller::start(&release, ControllerOptions::default()).await;
    let sealer = Sealer::of(&controller).await;
    let mut good = sealer.seal("x", "db", &[("a", "1")], &[]);
    let large = sealer.seal("x", "db", &[("a", &"x".repeat(1_000_000))], &[]).to_string();
    // A short body that stands for a long answer.
    good["metadata"]["annotations"]["a"] = json!("REPEATED");
    let line = format!("# YAML\n{good}");
    let aliases = (0..9).map(|n| format!(",\"n{n}\": *a")).collect::<String>();
    let repeated = line.replacen("\"REPEATED\"", &format!("&a \"{}\"{aliases}", "y".repeat(400_000)), 1);
    // Trees that are many times larger than their text.
    let nodes = format!("a: [{}]", "0,".repeat(1_000_000));
    let texts = format!("{{\"a\": [{}\"\"]}}", "\"\",".repeat(600_000));
    let keys = (0..150_000).map(|n| format!("{n:x}:\n")).collect::<String>();
    let bodies = [large, repeated, nodes, texts, keys];
    assert_eq!(post(&controller, "/v1/rotate", &bodies[0]).await.status, 200);
    assert_eq!(post(&controller, "/v1/rotate", &bodies[1]).await.status, 200);
    for body in &bodies[2..] {
        assert_eq!(post(&controller, "/v1/verify", body).await.status, 400);
    }
    for _ in 0..3 {
        let port = controller.port();
        let held = join_all((0..200).map(|n| ask_and_do_not_read(port, "/v1/rotate", &bodies[n % 5]))).await;
        assert!(held.iter().flatten().count() > 100);
        assert_eq!(controller.http("/readyz").await.status, 200);
    }
    assert!(controller.ended().is_none());
    let peak = peak_memory_kib(controller.id());
    println!("{peak} KiB");
    assert!(peak < MEMORY_LIMIT_KIB, "{peak} KiB");
}
