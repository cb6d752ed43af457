//! Request bodies: read within limits of size and time, then decompressed within limits of size and ratio.
//!
//! Bytes in memory are counted against one budget for all requests, before they are read where the length is
//! announced, as they come where it is not.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tideline_engine::error::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::app::AppState;
use crate::config::ByteSize;
use crate::error::Problem;

/// Compressed bodies up to this size are decompressed where they arrive, larger ones on a thread for blocking work.
const INLINE_BYTES: usize = 16 << 10;
/// Below this size of output the ratio does not matter: small repetitive batches compress very well.
const RATIO_FROM_BYTES: usize = 1 << 20;
/// Largest zstd window accepted (2^23 = 8 MiB), the most RFC 9659 allows over HTTP: the decoder allocates it.
const ZSTD_WINDOW_LOG: u32 = 23;
/// A refused body is read on to this size and for this long, so that the client gets to read the answer.
const DISCARD_BYTES: usize = 64 << 20;
const DISCARD_FOR: Duration = Duration::from_secs(3);

/// Limits of one kind of body.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// As sent.
    pub sent: ByteSize,
    /// After decompression.
    pub decoded: ByteSize,
    /// Decoded over sent.
    pub ratio: u32,
    /// How long it may stand still.
    pub stall: Duration,
}

/// A share of the memory for bodies, given back when dropped.
#[derive(Debug)]
pub struct Room {
    all: Arc<Semaphore>,
    held: OwnedSemaphorePermit,
}

impl Room {
    fn new(all: &Arc<Semaphore>) -> Result<Self, Problem> {
        let held = Arc::clone(all).try_acquire_many_owned(0).map_err(|_| full())?;
        Ok(Self { all: Arc::clone(all), held })
    }

    /// Makes the share at least `bytes`.
    fn grow_to(&mut self, bytes: usize) -> Result<(), Problem> {
        let missing = bytes.div_ceil(1 << 10).saturating_sub(self.held.num_permits());
        if missing > 0 {
            let missing = u32::try_from(missing).map_err(|_| full())?;
            self.held.merge(Arc::clone(&self.all).try_acquire_many_owned(missing).map_err(|_| full())?);
        }
        Ok(())
    }
}

fn full() -> Problem {
    Error::busy("too_many_requests_in_flight", "too many request bodies are in memory; nothing of this one was stored")
        .with_hint("send the same request again after Retry-After; event ids make that safe")
        .into()
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let (first, second) = (values.next(), values.next());
        let name = first.map_or(Some("identity"), |v| v.to_str().ok()).unwrap_or("?").trim().to_ascii_lowercase();
        match (name.as_str(), second) {
            ("identity" | "", None) => Ok(Self::Identity),
            ("gzip" | "x-gzip", None) => Ok(Self::Gzip),
            ("zstd", None) => Ok(Self::Zstd),
            _ => {
                let message = "this Content-Encoding is not supported";
                Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", message)
                    .with_hint("send the body as it is, or with one of gzip, zstd")
                    .with_header("accept-encoding", HeaderValue::from_static("gzip, zstd")))
            }
        }
    }
}

/// Reads a body and decompresses it. Hold the [`Room`] as long as the bytes.
pub async fn read(state: &AppState, headers: &HeaderMap, body: Body, limits: Limits) -> Result<(Bytes, Room), Problem> {
    let encoding = match Encoding::of(headers) {
        Ok(encoding) => encoding,
        Err(problem) => return Err(refuse_unread(headers, body, problem).await),
    };
    let mut room = Room::new(&state.body_room)?;
    let rate = state.config.http.min_body_rate.0;
    let sent = collect(headers, body, limits, rate, &mut room).await?;
    if encoding == Encoding::Identity {
        return Ok((sent, room));
    }
    if sent.len() <= INLINE_BYTES {
        let decoded = decompress(&sent, encoding, limits, |n| room.grow_to(n))?;
        return Ok((decoded.into(), room));
    }
    let work = move || {
        let decoded = decompress(&sent, encoding, limits, |n| room.grow_to(sent.len() + n))?;
        Ok((decoded.into(), room))
    };
    tokio::task::spawn_blocking(work).await.map_err(|e| Problem::internal(format!("decompression failed: {e}")))?
}

/// A body as it was sent; it must bring `rate` bytes a second on average once it takes longer than [`Limits::stall`].
async fn collect(
    headers: &HeaderMap,
    mut body: Body,
    limits: Limits,
    rate: u64,
    room: &mut Room,
) -> Result<Bytes, Problem> {
    let limit = limits.sent.as_usize();
    let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    let too_large = || {
        Problem::too_large("body_too_large", format!("the body is larger than the limit of {limit} bytes"))
            .with_hint("split it into several requests")
    };
    if announced.is_some_and(|n| n > limit) {
        return Err(refuse_unread(headers, body, too_large()).await);
    }
    if let Err(problem) = room.grow_to(announced.unwrap_or(0)) {
        return Err(refuse_unread(headers, body, problem).await);
    }
    let mut whole = BytesMut::new();
    let mut only: Option<Bytes> = None;
    let begun = Instant::now();
    loop {
        let so_far = only.as_ref().map_or(whole.len(), Bytes::len);
        let patience = patience(limits.stall, rate, so_far, begun.elapsed());
        let Some(piece) = next_frame(&mut body, patience).await? else { break };
        let size = only.as_ref().map_or(whole.len(), Bytes::len) + piece.len();
        if size > limit {
            return Err(refuse(body, too_large()).await);
        }
        if let Err(problem) = room.grow_to(size) {
            return Err(refuse(body, problem).await);
        }
        // A body that came in one piece is never copied.
        match only.take() {
            None if whole.is_empty() => only = Some(piece),
            earlier => {
                if let Some(earlier) = earlier {
                    whole.reserve(announced.unwrap_or(0).max(size));
                    whole.extend_from_slice(&earlier);
                }
                whole.extend_from_slice(&piece);
            }
        }
    }
    Ok(only.unwrap_or_else(|| whole.freeze()))
}

/// How long the next piece may take: a byte now and then would otherwise hold a connection, and the room that its length
/// announced, for ever.
fn patience(stall: Duration, rate: u64, received: usize, elapsed: Duration) -> Duration {
    if rate == 0 {
        return stall;
    }
    let earned = Duration::from_secs_f64(received as f64 / rate as f64);
    stall.min((stall + earned).saturating_sub(elapsed))
}

/// The next piece of data; `None` at the end.
async fn next_frame(body: &mut Body, stall: Duration) -> Result<Option<Bytes>, Problem> {
    loop {
        let frame = tokio::time::timeout(stall, body.frame()).await.map_err(|_| {
            let message = "the body stood still for too long, or came too slowly";
            Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message)
                .with_hint("send the body without pauses, or raise http.body_timeout or lower http.min_body_rate")
                .with_header("connection", HeaderValue::from_static("close"))
        })?;
        match frame {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(_)) => {
                return Err(Problem::bad_request("incomplete_body", "the body ended before its announced length"));
            }
        }
    }
}

/// Refuses a body of which nothing was read. A client that asked first (`Expect`) has not sent it.
async fn refuse_unread(headers: &HeaderMap, body: Body, problem: Problem) -> Problem {
    if headers.contains_key(EXPECT) { problem } else { refuse(body, problem).await }
}

/// Reads some of a body nobody wants: a connection closed on unread bytes is reset, and the answer with it.
async fn refuse(mut body: Body, problem: Problem) -> Problem {
    let mut left = DISCARD_BYTES;
    let discard = async {
        while let Ok(Some(data)) = next_frame(&mut body, DISCARD_FOR).await {
            left = left.saturating_sub(data.len());
            if left == 0 {
                return;
            }
        }
    };
    // Whether it ends in time or not, the answer is the same.
    let _ = tokio::time::timeout(DISCARD_FOR, discard).await;
    problem
}

/// Decompresses within the limits. `grow_to` is asked before memory is used.
fn decompress(
    sent: &[u8],
    encoding: Encoding,
    limits: Limits,
    mut grow_to: impl FnMut(usize) -> Result<(), Problem>,
) -> Result<Vec<u8>, Problem> {
    let damaged = |e: std::io::Error| {
        Problem::bad_request("invalid_encoding", format!("the body cannot be decompressed: {e}"))
            .with_hint("check that Content-Encoding names what the body is compressed with")
    };
    let mut decoder: Box<dyn Read + '_> = match encoding {
        Encoding::Identity => Box::new(sent),
        Encoding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(sent)),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(sent).map_err(damaged)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(damaged)?;
            Box::new(decoder)
        }
    };
    let limit = limits.decoded.as_usize();
    let most = limit.min(sent.len().saturating_mul(limits.ratio as usize).max(RATIO_FROM_BYTES));
    let mut decoded = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        let n = decoder.read(&mut piece).map_err(damaged)?;
        if n == 0 {
            return Ok(decoded);
        }
        if decoded.len() + n > most {
            return Err(over(most, limit, limits.ratio));
        }
        // A vector doubles: count what it may hold, not what it holds.
        let needed = decoded.len() + n;
        if needed > decoded.capacity() {
            let capacity = needed.max(decoded.capacity() * 2).min(most);
            grow_to(capacity)?;
            decoded.reserve_exact(capacity - decoded.len());
        }
        decoded.extend_from_slice(&piece[..n]);
    }
}

fn over(most: usize, limit: usize, ratio: u32) -> Problem {
    let problem = if most == limit {
        let message = format!("the body is larger than the limit of {limit} bytes after decompression");
        Problem::too_large("body_too_large", message)
    } else {
        let message = format!("the body decompresses to more than {ratio} times its size (the limit)");
        Problem::too_large("compression_ratio", message)
    };
    problem.with_hint("split it into several requests")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const LIMITS: Limits =
        Limits { sent: ByteSize::mib(1), decoded: ByteSize::mib(4), ratio: 100, stall: Duration::from_secs(1) };

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(sent: &[u8], encoding: Encoding) -> Result<Vec<u8>, Problem> {
        decompress(sent, encoding, LIMITS, |_| Ok(()))
    }

    #[test]
    fn gzip_of_several_members_and_zstd_come_back_whole() {
        let members = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(unpack(&members, Encoding::Gzip).unwrap(), b"one two");
        let frames = [zstd::encode_all(&b"one "[..], 1).unwrap(), zstd::encode_all(&b"two"[..], 1).unwrap()].concat();
        assert_eq!(unpack(&frames, Encoding::Zstd).unwrap(), b"one two");
    }

    #[test]
    fn what_is_cut_or_is_not_compressed_is_a_client_error() {
        let whole = gzip(b"some bytes that are long enough to be cut");
        for (bytes, encoding) in [
            (&whole[..whole.len() - 3], Encoding::Gzip),
            (&b"plain"[..], Encoding::Gzip),
            (&b"plain"[..], Encoding::Zstd),
        ] {
            assert_eq!(unpack(bytes, encoding).unwrap_err().code, "invalid_encoding");
        }
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit_of_size_or_ratio() {
        let zeros = vec![0; 8 << 20];
        let (small, large) = (gzip(&zeros), zstd::encode_all(&zeros[..], 19).unwrap());
        assert_eq!(unpack(&small, Encoding::Gzip).unwrap_err().code, "compression_ratio");
        assert_eq!(unpack(&large, Encoding::Zstd).unwrap_err().code, "compression_ratio");
        let loose = Limits { ratio: 1_000_000, ..LIMITS };
        let mut asked = 0;
        let outcome = decompress(&small, Encoding::Gzip, loose, |n| {
            asked = n;
            Ok(())
        });
        assert_eq!(outcome.unwrap_err().code, "body_too_large");
        assert!(asked <= 4 << 20, "memory stays within the limit: {asked}");
        assert_eq!(unpack(&gzip(&zeros[..1 << 20]), Encoding::Gzip).unwrap().len(), 1 << 20, "1 MiB may compress well");
    }

    #[test]
    fn a_zstd_window_beyond_the_limit_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(b"small").unwrap();
        let sent = encoder.finish().unwrap();
        assert_eq!(unpack(&sent, Encoding::Zstd).unwrap_err().code, "invalid_encoding");
    }

    #[test]
    fn bytes_earn_time_and_a_drip_does_not() {
        let ms = Duration::from_millis;
        let left = |rate, received, elapsed| patience(ms(1_000), rate, received, ms(elapsed));
        assert_eq!(left(4 << 10, 0, 0), ms(1_000), "the first byte may take its time");
        assert_eq!(left(4 << 10, 1 << 20, 9_000), ms(1_000), "a body that comes may pause");
        assert_eq!(left(4 << 10, 2 << 10, 1_400), ms(100));
        assert_eq!(left(4 << 10, 30, 2_000), ms(0), "thirty bytes in two seconds are a drip");
        assert_eq!(left(0, 30, 60_000), ms(1_000), "0 is no limit");
    }

    #[test]
    fn room_is_counted_and_given_back() {
        let all = Arc::new(Semaphore::new(4));
        let mut one = Room::new(&all).unwrap();
        one.grow_to(3 << 10).unwrap();
        let mut two = Room::new(&all).unwrap();
        assert_eq!(two.grow_to(2 << 10).unwrap_err().status, StatusCode::SERVICE_UNAVAILABLE);
        drop(one);
        two.grow_to(2 << 10).unwrap();
        drop(two);
        assert_eq!(all.available_permits(), 4);
    }
}
