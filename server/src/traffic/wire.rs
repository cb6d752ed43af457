//! HTTP/1.1 as a load client needs it: requests over a connection that stays open, written in one piece, with as little
//! work as possible beside the server under test. It knows content lengths and chunks, and follows nothing.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest head of an answer.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Longest body of an answer.
const MAX_BODY_BYTES: usize = 4 << 20;

/// A server, and what is sent to it with every request.
#[derive(Debug)]
pub struct Server {
    /// `host:port`
    authority: String,
    /// What every path begins with; often empty.
    base: String,
    /// Header lines of every request.
    headers: String,
}

impl Server {
    /// Of an `http://` URL, which [`Client`](crate::cli::client::Client) has checked, and a key.
    pub fn new(url: &str, key: Option<&str>) -> Self {
        let rest = url.trim_start_matches("http://").trim_end_matches('/');
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        // A bare IPv6 address ends with its bracket.
        let port = host.rsplit(']').next().is_some_and(|tail| tail.contains(':'));
        let authority = if port { host.to_owned() } else { format!("{host}:80") };
        let mut headers = format!("host: {host}\r\nuser-agent: tideline-traffic/{}\r\n", env!("CARGO_PKG_VERSION"));
        if let Some(key) = key {
            headers = headers + "authorization: Bearer " + key + "\r\n";
        }
        Self { authority, base: path.to_owned(), headers }
    }
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

/// A connection that is opened when it is needed, and again when the server closed it.
#[derive(Debug)]
pub struct Connection {
    server: Arc<Server>,
    stream: Option<TcpStream>,
    /// Bytes read that belong to no answer yet.
    read: Vec<u8>,
    request: Vec<u8>,
}

impl Connection {
    /// Not open yet.
    pub fn new(server: Arc<Server>) -> Self {
        Self { server, stream: None, read: Vec::new(), request: Vec::new() }
    }

    /// Forgets the connection: an answer that was not waited for would be taken for the next one's.
    pub fn close(&mut self) {
        self.stream = None;
    }

    /// Posts a body and waits for the answer. A connection that the server closed while it was idle is opened again;
    /// sending the same events twice is safe, because of their ids.
    ///
    /// # Errors
    /// When the server cannot be reached, closes the connection within an answer, or does not speak HTTP/1.1.
    pub async fn post(&mut self, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
        let Server { base, headers, .. } = &*self.server;
        let length = body.len();
        self.request.clear();
        let head = format!(
            "POST {base}{path} HTTP/1.1\r\n{headers}content-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
        );
        self.request.extend_from_slice(head.as_bytes());
        self.request.extend_from_slice(body);
        let fresh = self.stream.is_none();
        match self.exchange().await {
            Err(Broken::BeforeAnswer(_)) if !fresh => {
                self.stream = None;
                self.exchange().await.map_err(Broken::into_inner)
            }
            outcome => outcome.map_err(Broken::into_inner),
        }
        .inspect_err(|_| self.stream = None)
    }

    async fn exchange(&mut self) -> std::result::Result<Answer, Broken> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = TcpStream::connect(&self.server.authority).await.map_err(Broken::Within)?;
                stream.set_nodelay(true).map_err(Broken::Within)?;
                self.read.clear();
                none.insert(stream)
            }
        };
        stream.write_all(&self.request).await.map_err(Broken::BeforeAnswer)?;
        let (answer, keep) = read_answer(stream, &mut self.read).await?;
        if !keep {
            self.stream = None;
        }
        Ok(answer)
    }
}

/// Why there is no answer.
enum Broken {
    /// Nothing of it came: the server may have closed the connection before it saw the request.
    BeforeAnswer(Error),
    Within(Error),
}

impl Broken {
    fn into_inner(self) -> Error {
        match self {
            Self::BeforeAnswer(error) | Self::Within(error) => error,
        }
    }
}

/// What the head of an answer says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    body: Length,
    keep: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Length {
    Bytes(usize),
    Chunked,
    UntilClosed,
}

async fn read_answer(stream: &mut TcpStream, read: &mut Vec<u8>) -> std::result::Result<(Answer, bool), Broken> {
    loop {
        let end = loop {
            if let Some(at) = find(read, b"\r\n\r\n") {
                break at + 4;
            }
            if read.len() > MAX_HEAD_BYTES {
                return Err(Broken::Within(Error::new(ErrorKind::InvalidData, "the answer's head has no end")));
            }
            let before = read.len();
            match more(stream, read).await {
                Ok(()) => {}
                Err(error) if before == 0 => return Err(Broken::BeforeAnswer(error)),
                Err(error) => return Err(Broken::Within(error)),
            }
        };
        let head = parse_head(&read[..end]).map_err(Broken::Within)?;
        read.drain(..end);
        if (100..200).contains(&head.status) {
            continue;
        }
        let body = read_body(stream, read, &head.body).await.map_err(Broken::Within)?;
        return Ok((Answer { status: head.status, body }, head.keep && head.body != Length::UntilClosed));
    }
}

async fn read_body(stream: &mut TcpStream, read: &mut Vec<u8>, length: &Length) -> Result<Vec<u8>> {
    let too_long = || Error::new(ErrorKind::InvalidData, "the answer is too long");
    match *length {
        Length::Bytes(bytes) if bytes > MAX_BODY_BYTES => Err(too_long()),
        Length::Bytes(bytes) => take(stream, read, bytes).await,
        Length::UntilClosed => {
            while more(stream, read).await.is_ok() {
                if read.len() > MAX_BODY_BYTES {
                    return Err(too_long());
                }
            }
            Ok(std::mem::take(read))
        }
        Length::Chunked => {
            let mut body = Vec::new();
            loop {
                let end = line_end(stream, read).await?;
                let size = std::str::from_utf8(&read[..end]).ok().and_then(|line| line.split(';').next());
                let size = size.and_then(|hex| usize::from_str_radix(hex.trim(), 16).ok());
                let size = size.ok_or_else(|| Error::new(ErrorKind::InvalidData, "a chunk without a size"))?;
                read.drain(..end + 2);
                if body.len() + size > MAX_BODY_BYTES {
                    return Err(too_long());
                }
                if size == 0 {
                    // Trailers, up to an empty line.
                    loop {
                        let end = line_end(stream, read).await?;
                        read.drain(..end + 2);
                        if end == 0 {
                            return Ok(body);
                        }
                    }
                }
                body.extend(take(stream, read, size).await?);
                take(stream, read, 2).await?;
            }
        }
    }
}

/// Takes that many bytes, reading until they are there.
async fn take(stream: &mut TcpStream, read: &mut Vec<u8>, bytes: usize) -> Result<Vec<u8>> {
    while read.len() < bytes {
        more(stream, read).await?;
    }
    let rest = read.split_off(bytes);
    Ok(std::mem::replace(read, rest))
}

/// Where the first line ends, reading until it does.
async fn line_end(stream: &mut TcpStream, read: &mut Vec<u8>) -> Result<usize> {
    loop {
        if let Some(at) = find(read, b"\r\n") {
            return Ok(at);
        }
        if read.len() > MAX_HEAD_BYTES {
            return Err(Error::new(ErrorKind::InvalidData, "a line without an end"));
        }
        more(stream, read).await?;
    }
}

async fn more(stream: &mut TcpStream, read: &mut Vec<u8>) -> Result<()> {
    match stream.read_buf(read).await? {
        0 => Err(Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")),
        _ => Ok(()),
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn parse_head(head: &[u8]) -> Result<Head> {
    let bad = || Error::new(ErrorKind::InvalidData, "the answer is not HTTP/1.1");
    let text = std::str::from_utf8(head).map_err(|_| bad())?;
    let mut lines = text.split("\r\n");
    let first = lines.next().filter(|line| line.starts_with("HTTP/1.")).ok_or_else(bad)?;
    let status = first.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(bad)?;
    let mut head = Head { status, body: Length::UntilClosed, keep: first.starts_with("HTTP/1.1") };
    if status == 204 || status == 304 {
        head.body = Length::Bytes(0);
    }
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.body = Length::Bytes(value.parse().map_err(|_| bad())?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            head.body = Length::Chunked;
        } else if name.eq_ignore_ascii_case("connection") {
            head.keep &= !value.eq_ignore_ascii_case("close");
        }
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A server that gives these answers, one for each request, and closes the connection after each `true`.
    async fn answering(answers: Vec<(&'static str, bool)>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::new(&format!("http://{}/", listener.local_addr().unwrap()), Some("tl_k"));
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            for (answer, close) in answers {
                while find(&seen, b"\r\n\r\nbody").is_none() {
                    if stream.read_buf(&mut seen).await.unwrap() == 0 {
                        stream = listener.accept().await.unwrap().0;
                    }
                }
                assert!(find(&seen, b"authorization: Bearer tl_k\r\n").is_some());
                seen.clear();
                for piece in answer.as_bytes().chunks(5) {
                    stream.write_all(piece).await.unwrap();
                }
                if close {
                    drop(stream);
                    stream = listener.accept().await.unwrap().0;
                }
            }
        });
        server
    }

    #[tokio::test]
    async fn answers_of_every_shape_are_read_and_closed_connections_opened_again() {
        let server = answering(vec![
            ("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}", false),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nT: 1\r\n\r\n", false),
            ("HTTP/1.1 204 No Content\r\n\r\n", true),
            ("HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\n\r\nlater", true),
            ("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", false),
        ])
        .await;
        let mut connection = Connection::new(Arc::new(server));
        let mut found = Vec::new();
        for _ in 0..5 {
            let answer = connection.post("/events", "application/json", b"body").await.unwrap();
            found.push((answer.status, String::from_utf8(answer.body).unwrap()));
        }
        let wanted = [(202, "{}"), (200, "abcd"), (204, ""), (429, "later"), (500, "")];
        assert_eq!(found, wanted.map(|(status, body)| (status, body.to_owned())));
    }

    #[test]
    fn addresses_have_a_port_and_a_base() {
        let of = |url: &str| {
            let server = Server::new(url, None);
            (server.authority, server.base)
        };
        assert_eq!(of("http://shop"), ("shop:80".into(), String::new()));
        assert_eq!(of("http://[::1]:8080/in/"), ("[::1]:8080".into(), "/in".into()));
        assert_eq!(of("http://[::1]"), ("[::1]:80".into(), String::new()));
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        assert!(parse_head(b"SSH-2.0\r\n\r\n").is_err());
        assert!(parse_head(b"HTTP/1.1 abc\r\n\r\n").is_err());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n").is_err());
    }
}
