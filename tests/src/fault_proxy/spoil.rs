//! The answers of a spoiled request, made as the API server would make them.

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use futures::stream;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::tls_server::{Body, BoxError, Dropped, whole};

use super::fault::{After, Ending};

/// A failure in the form in which Kubernetes clients expect it.
pub(super) fn status(code: u16, reason: &str, retry_after: Option<u64>) -> Response<Body> {
    let mut response = Response::new(whole(failure(code, reason, retry_after).to_string().into_bytes()));
    *response.status_mut() = StatusCode::from_u16(code).expect("an HTTP status");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn failure(code: u16, reason: &str, retry_after: Option<u64>) -> Value {
    let mut status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("{reason}: injected by the fault proxy"), "reason": reason, "code": code,
    });
    if let Some(seconds) = retry_after {
        status["details"] = json!({"retryAfterSeconds": seconds});
    }
    status
}

/// Passes the events of a watch on until it is time to end it.
pub(super) fn watch(body: Body, after: After, ending: Ending) -> Body {
    let (events, deadline) = match after {
        After::Events(count) => (count, None),
        After::Time(time) => (usize::MAX, Some(Instant::now() + time)),
    };
    let events = Events { body, buffer: BytesMut::new(), left: events, deadline };
    let frames = stream::unfold(Some(events), move |state| async move {
        let mut events = state?;
        match events.next().await {
            Next::Event(line) => Some((Ok(Frame::data(line)), Some(events))),
            Next::Upstream(end) => end.map(|error| (Err(error), None)),
            Next::Time => match ending {
                Ending::Close => None,
                Ending::Gone => Some((Ok(Frame::data(gone())), None)),
                Ending::Cut => {
                    // hyper would throw away what it has not written yet; pausing has it write first.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Some((Err(BoxError::from(Dropped)), None))
                }
            },
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

fn gone() -> Bytes {
    let mut line = json!({"type": "ERROR", "object": failure(410, "Expired", None)}).to_string();
    line.push('\n');
    Bytes::from(line)
}

/// A watch's body as its events, one per line.
struct Events {
    body: Body,
    buffer: BytesMut,
    left: usize,
    deadline: Option<Instant>,
}

enum Next {
    Event(Bytes),
    /// The API server ended it, perhaps with an error.
    Upstream(Option<BoxError>),
    /// It has passed all that it should.
    Time,
}

impl Events {
    async fn next(&mut self) -> Next {
        loop {
            if self.left == 0 {
                return Next::Time;
            }
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                self.left -= 1;
                return Next::Event(self.buffer.split_to(end + 1).freeze());
            }
            let frame = tokio::select! {
                frame = self.body.frame() => frame,
                () = wait_until(self.deadline) => return Next::Time,
            };
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(data.chunk());
                    }
                }
                Some(Err(error)) => return Next::Upstream(Some(error)),
                None => return Next::Upstream(None),
            }
        }
    }
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two events, in pieces that do not end where the events end.
    fn upstream() -> Body {
        let pieces = ["{\"a\"", ":1}\n{\"b\":2}", "\n"];
        let frames = pieces.map(|piece| Ok(Frame::data(Bytes::from(piece))));
        StreamBody::new(stream::iter(frames)).boxed_unsync()
    }

    async fn passed(after: After, ending: Ending) -> (String, bool) {
        let mut body = watch(upstream(), after, ending);
        let mut text = String::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap()),
                Err(_) => return (text, false),
            }
        }
        (text, true)
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_ends_after_whole_events() {
        assert_eq!(passed(After::Events(0), Ending::Close).await, (String::new(), true));
        assert_eq!(passed(After::Events(1), Ending::Close).await, ("{\"a\":1}\n".to_owned(), true));
        assert_eq!(passed(After::Events(1), Ending::Cut).await, ("{\"a\":1}\n".to_owned(), false));
        assert_eq!(passed(After::Events(9), Ending::Cut).await, ("{\"a\":1}\n{\"b\":2}\n".to_owned(), true));
        let (text, complete) = passed(After::Events(1), Ending::Gone).await;
        let event: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        assert!(complete);
        assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_watch_ends_after_a_time() {
        let silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, BoxError>>()).boxed_unsync();
        let began = Instant::now();
        let mut body = watch(silent, After::Time(Duration::from_secs(30)), Ending::Cut);
        assert!(body.frame().await.unwrap().is_err());
        assert!(began.elapsed() >= Duration::from_secs(30));
    }

    #[tokio::test]
    async fn a_failure_is_a_kubernetes_status() {
        let response = status(429, "TooManyRequests", Some(3));
        assert_eq!(response.headers()[RETRY_AFTER], "3");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let status: kube::core::Status = serde_json::from_slice(&body).unwrap();
        assert_eq!((status.code, status.reason.as_str()), (429, "TooManyRequests"));
        assert_eq!(status.details.unwrap().retry_after_seconds, 3);
    }
}
