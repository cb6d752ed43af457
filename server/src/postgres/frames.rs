//! Messages over a stream: bounded in size before they are gathered, in time while they are, and sent as the client
//! takes them.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use pgwire::messages::Message;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// Bytes gathered before they are sent.
const SEND_BYTES: usize = 64 << 10;
/// Bytes read at once.
const READ_BYTES: usize = 8 << 10;
/// The longest first packet, as in Postgres.
const MAX_FIRST_BYTES: usize = 10_000;

/// Why there is no message.
#[derive(Debug)]
pub enum Ended {
    /// The client has gone, or the network.
    Gone(io::Error),
    /// It sends nothing.
    Idle,
    /// It stopped amid a message, or does not read.
    Stalled,
    /// Its message is too large.
    TooLarge(usize),
    /// What it sends is no message.
    Garbled(&'static str),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

/// A stream of messages, in and out.
#[derive(Debug)]
pub struct Frames<S> {
    stream: S,
    read: BytesMut,
    unsent: BytesMut,
    stall: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// Over a stream that may stand still for `stall` amid a message.
    pub fn new(stream: S, stall: Duration) -> Self {
        Self { stream, read: BytesMut::new(), unsent: BytesMut::new(), stall }
    }

    /// The stream, where nothing was read beyond what was asked for.
    pub fn into_stream(self) -> Option<S> {
        (self.read.is_empty() && self.unsent.is_empty()).then_some(self.stream)
    }

    async fn more(&mut self, within: Duration, late: Ended) -> Result<(), Ended> {
        self.read.reserve(READ_BYTES);
        match timeout(within, self.stream.read_buf(&mut self.read)).await {
            Ok(Ok(0)) => Err(Ended::Gone(io::ErrorKind::UnexpectedEof.into())),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(e)) => Err(e.into()),
            Err(_) => Err(late),
        }
    }

    /// The first packet, without its length.
    pub async fn first(&mut self) -> Result<Bytes, Ended> {
        while self.read.len() < 4 {
            self.more(self.stall, Ended::Stalled).await?;
        }
        let length = (&self.read[..4]).get_u32() as usize;
        if !(8..=MAX_FIRST_BYTES).contains(&length) {
            return Err(Ended::Garbled("the first packet is none of this protocol"));
        }
        while self.read.len() < length {
            self.more(self.stall, Ended::Stalled).await?;
        }
        let mut packet = self.read.split_to(length).freeze();
        packet.advance(4);
        Ok(packet)
    }

    /// The next message's type and body, of at most `most` bytes; waits for its beginning for `idle`. A call that is
    /// given up has lost nothing.
    pub async fn next(&mut self, most: usize, idle: Duration) -> Result<(u8, Bytes), Ended> {
        while self.read.len() < 5 {
            match self.read.is_empty() {
                true => self.more(idle, Ended::Idle).await?,
                false => self.more(self.stall, Ended::Stalled).await?,
            }
        }
        let (kind, length) = (self.read[0], (&self.read[1..5]).get_u32() as usize);
        if length < 4 {
            return Err(Ended::Garbled("a message has a length that cannot be"));
        }
        if length - 4 > most {
            return Err(Ended::TooLarge(length));
        }
        while self.read.len() < length + 1 {
            self.more(self.stall, Ended::Stalled).await?;
        }
        let mut message = self.read.split_to(length + 1).freeze();
        message.advance(5);
        Ok((kind, message))
    }

    /// Resolves when the client has gone. What it sends meanwhile is kept, up to `most` bytes.
    pub async fn gone(&mut self, most: usize) -> Ended {
        loop {
            if self.read.len() >= most {
                return std::future::pending().await;
            }
            self.read.reserve(READ_BYTES);
            match self.stream.read_buf(&mut self.read).await {
                Ok(0) => return Ended::Gone(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(e) => return e.into(),
            }
        }
    }

    /// What is to be sent next, to be written to directly.
    pub fn out(&mut self) -> &mut BytesMut {
        &mut self.unsent
    }

    /// Puts a message after those that are to be sent.
    pub fn put(&mut self, message: &impl Message) {
        if let Err(e) = message.encode(&mut self.unsent) {
            // Only by a size that the protocol has no room for.
            tracing::error!(error = %e, "a message could not be encoded");
        }
    }

    /// A byte that is no message: the answer to a wish for TLS.
    pub fn put_byte(&mut self, byte: u8) {
        self.unsent.extend_from_slice(&[byte]);
    }

    /// Whether enough has gathered to be sent.
    pub fn is_full(&self) -> bool {
        self.unsent.len() >= SEND_BYTES
    }

    /// Sends what has gathered, as fast as the client takes it.
    pub async fn send(&mut self) -> Result<(), Ended> {
        while !self.unsent.is_empty() {
            match timeout(self.stall, self.stream.write_buf(&mut self.unsent)).await {
                Ok(Ok(0)) => return Err(Ended::Gone(io::ErrorKind::WriteZero.into())),
                Ok(Ok(_)) => {}
                Ok(Err(e)) => return Err(e.into()),
                Err(_) => return Err(Ended::Stalled),
            }
        }
        match timeout(self.stall, self.stream.flush()).await {
            Ok(flushed) => Ok(flushed?),
            Err(_) => Err(Ended::Stalled),
        }
    }

    /// Says good-bye to the stream.
    pub async fn close(mut self) {
        // It is over either way.
        let _ = timeout(self.stall, self.stream.shutdown()).await;
    }
}
