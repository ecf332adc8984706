//! Bodies in and out of a memory that is shared by all requests: one has a size and a time, all together have a size.
//!
//! What is counted is what came, not what a client says will come. An answer takes its room too, and gives it back when
//! it is sent: who asks and does not read must not fill the memory either.

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use futures::{StreamExt as _, stream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// The bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of one body.
    pub one: usize,
    /// Bytes of all bodies and answers that are there at once.
    pub all: usize,
    /// For one body to come.
    pub time: Duration,
}

/// The memory for bodies.
#[derive(Clone)]
pub(super) struct Bodies {
    limits: Limits,
    room: Arc<Semaphore>,
}

/// A body that is there, and its share of the memory.
pub(super) struct Taken {
    /// The body.
    pub bytes: Vec<u8>,
    share: OwnedSemaphorePermit,
}

/// A body that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// Larger than one may be.
    TooLarge,
    /// It does not come.
    TooSlow,
    /// The client broke off, or sends no HTTP.
    Broken,
    /// The memory is full.
    NoRoom,
}

impl Bodies {
    /// Empty.
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, room: Arc::new(Semaphore::new(limits.all)) }
    }

    /// Reads a body to its end.
    pub(super) async fn take(&self, body: Body) -> Result<Taken, NotTaken> {
        let deadline = Instant::now() + self.limits.time;
        let claimed = body.size_hint().lower();
        let mut chunks = body.into_data_stream();
        let taken = match claimed > self.limits.one as u64 {
            true => Err(NotTaken::TooLarge),
            false => timeout_at(deadline, self.read(&mut chunks)).await.unwrap_or(Err(NotTaken::TooSlow)),
        };
        if matches!(taken, Err(NotTaken::TooLarge | NotTaken::NoRoom)) {
            // Many a client reads no answer before it has sent all; were the connection closed, it would see none.
            let _ = timeout_at(deadline, discard(&mut chunks)).await;
        }
        taken
    }

    async fn read(&self, chunks: &mut BodyDataStream) -> Result<Taken, NotTaken> {
        let mut taken = Taken { bytes: Vec::new(), share: self.share(0)? };
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| NotTaken::Broken)?;
            if taken.bytes.len() + chunk.len() > self.limits.one {
                return Err(NotTaken::TooLarge);
            }
            taken.share.merge(self.share(chunk.len())?);
            taken.bytes.extend_from_slice(&chunk);
        }
        Ok(taken)
    }

    /// An answer in the place of a body; none if it is larger and there is no room.
    pub(super) fn answer(&self, taken: Taken, text: String) -> Option<Response> {
        let mut share = taken.share;
        drop(taken.bytes);
        let more = text.len().saturating_sub(share.num_permits());
        share.merge(self.share(more).ok()?);
        let length = HeaderValue::from(text.len());
        // In pieces that HTTP takes one after the other: with the last one the share is given back.
        let pieces = stream::unfold((Bytes::from(text), share), async |(mut rest, share)| {
            let piece = rest.split_to(rest.len().min(PIECE));
            (!piece.is_empty()).then_some((Ok::<_, std::convert::Infallible>(piece), (rest, share)))
        });
        let mut response = Response::new(Body::from_stream(pieces));
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().insert(CONTENT_LENGTH, length);
        Some(response)
    }

    fn share(&self, bytes: usize) -> Result<OwnedSemaphorePermit, NotTaken> {
        let bytes = u32::try_from(bytes).map_err(|_| NotTaken::NoRoom)?;
        self.room.clone().try_acquire_many_owned(bytes).map_err(|_| NotTaken::NoRoom)
    }
}

async fn discard(chunks: &mut BodyDataStream) {
    let mut left = DISCARDED;
    while let Some(Ok(chunk)) = chunks.next().await {
        if chunk.len() > left {
            return;
        }
        left -= chunk.len();
    }
}

const PIECE: usize = 16 * 1024;
/// Of a body that is not taken so many bytes are read and dropped.
const DISCARDED: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { one: 40_000, all: 60_000, time: Duration::from_secs(10) };

    fn chunks(sizes: &[usize]) -> Body {
        let chunks: Vec<_> = sizes.iter().map(|size| Ok::<_, std::io::Error>(vec![b'x'; *size])).collect();
        Body::from_stream(stream::iter(chunks))
    }

    async fn error(bodies: &Bodies, body: Body) -> Option<NotTaken> {
        bodies.take(body).await.err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_a_size_and_a_time() {
        let bodies = Bodies::new(LIMITS);
        assert_eq!(bodies.take(chunks(&[20_000, 20_000])).await.ok().unwrap().bytes.len(), 40_000);
        assert_eq!(error(&bodies, Body::from(vec![0; 40_001])).await, Some(NotTaken::TooLarge));
        assert_eq!(error(&bodies, chunks(&[20_000, 20_001])).await, Some(NotTaken::TooLarge), "in pieces");
        let endless = Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(vec![0; 4096])));
        assert_eq!(error(&bodies, endless).await, Some(NotTaken::TooLarge));
        let stuck = stream::iter([Ok::<_, std::io::Error>(vec![0; 40_001])]).chain(stream::pending());
        assert_eq!(error(&bodies, Body::from_stream(stuck)).await, Some(NotTaken::TooLarge));
        // A byte now and then buys no time.
        let drip = stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_secs(2)).await;
            Some((Ok::<_, std::io::Error>("x"), ()))
        });
        let started = Instant::now();
        assert_eq!(error(&bodies, Body::from_stream(drip)).await, Some(NotTaken::TooSlow));
        assert_eq!(started.elapsed(), LIMITS.time);
        let broken = stream::iter([Ok("x"), Err(std::io::Error::other("gone"))]);
        assert_eq!(error(&bodies, Body::from_stream(broken)).await, Some(NotTaken::Broken));
        assert_eq!(bodies.room.available_permits(), LIMITS.all, "all is given back");
    }

    #[tokio::test]
    async fn all_bodies_and_answers_share_one_memory() {
        let bodies = Bodies::new(LIMITS);
        let first = bodies.take(chunks(&[40_000])).await.ok().unwrap();
        assert_eq!(error(&bodies, chunks(&[15_000, 10_000])).await, Some(NotTaken::NoRoom));
        let second = bodies.take(chunks(&[10_000])).await.ok().unwrap();
        assert!(bodies.answer(second, "x".repeat(30_000)).is_none(), "no room for so much more");
        assert_eq!(bodies.room.available_permits(), 20_000);

        let response = bodies.answer(first, "y".repeat(50_000)).unwrap();
        assert_eq!(response.headers()[CONTENT_LENGTH], "50000");
        assert_eq!(bodies.room.available_permits(), 10_000, "until it is sent");
        let mut pieces = response.into_body().into_data_stream();
        let mut sent = 0;
        while let Some(piece) = pieces.next().await {
            sent += piece.unwrap().len();
        }
        assert_eq!((sent, bodies.room.available_permits()), (50_000, LIMITS.all));
    }
}
