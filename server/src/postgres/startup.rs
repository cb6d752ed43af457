//! From an accepted connection to a session, or not: TLS where it is wanted, then who it is.
//!
//! A key is the password, whatever the user is called. Where there is a certificate, a client from another machine that
//! does not begin TLS is sent away before it is asked for a key.

use std::net::SocketAddr;
use std::sync::Arc;

use pgwire::messages::response::{ReadyForQuery, TransactionStatus};
use pgwire::messages::startup::{Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::Shared;
use super::cancel::Registered;
use super::catalogue::DATABASE;
use super::errors::Failure;
use super::frames::{Ended, Frames};
use super::frontend::{First, Frontend};
use super::settings::Settings;
use crate::auth::scope::Scope;
use crate::auth::{Caller, Refusal, scope_missing};
use crate::error::Problem;
use crate::rate_limit::Account;

/// What a TLS connection without a request before it begins with.
const TLS_HANDSHAKE: u8 = 0x16;
/// What such a client must say it speaks.
const ALPN: &[u8] = b"postgresql";
/// The longest password; keys are shorter.
const MAX_PASSWORD: usize = 1_024;
/// Packets before the one that begins a session: for TLS and for Kerberos, and none twice.
const MAX_FIRSTS: usize = 3;

/// A stream, encrypted or not.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// One of them.
pub type Stream = Box<dyn Duplex>;

/// A client that was let in.
pub struct Greeted {
    /// Its messages.
    pub frames: Frames<Stream>,
    /// Who it is.
    pub caller: Caller,
    /// Whose limits it has.
    pub account: Account,
    /// What it set at the beginning.
    pub settings: Settings,
    /// Its entry among those that can be cancelled.
    pub registered: Registered,
    /// Its place.
    pub place: OwnedSemaphorePermit,
}

impl std::fmt::Debug for Greeted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Greeted").field("caller", &self.caller).finish_non_exhaustive()
    }
}

/// Lets a client in; `None` when it wanted something else, or was told why not.
pub async fn greet(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) -> Result<Option<Greeted>, Ended> {
    let mut packets = Packets::begin(stream, shared).await?;
    let Some((minor, parameters)) = packets.startup(shared).await? else { return Ok(None) };
    let is_encrypted = packets.is_encrypted;
    let mut frames = packets.frames;
    match admit(&mut frames, shared, peer, is_encrypted, minor, &parameters).await? {
        Ok(admitted) => {
            let registered = shared.cancels.register();
            for (name, value) in admitted.settings.reported() {
                frames.put(&ParameterStatus::new(name.to_owned(), value));
            }
            frames.put(&BackendKeyData::new(registered.process, SecretKey::I32(registered.secret)));
            frames.put(&ReadyForQuery::new(TransactionStatus::Idle));
            frames.send().await?;
            let Admitted { caller, account, settings, place } = admitted;
            Ok(Some(Greeted { frames, caller, account, settings, registered, place }))
        }
        Err(failure) => {
            tracing::info!(state = failure.state, client = %peer.ip(), "a client of the Postgres wire was refused");
            frames.put(&failure.message());
            frames.send().await?;
            frames.close().await;
            Ok(None)
        }
    }
}

/// The packets before a session.
struct Packets {
    frames: Frames<Stream>,
    is_encrypted: bool,
}

impl Packets {
    /// TLS at once, where the client begins with it.
    async fn begin(stream: TcpStream, shared: &Shared) -> Result<Self, Ended> {
        let mut first = [0];
        stream.peek(&mut first).await?;
        let stall = shared.settings().stall_timeout.0;
        if first[0] != TLS_HANDSHAKE {
            return Ok(Self { frames: Frames::new(Box::new(stream), stall), is_encrypted: false });
        }
        let acceptor = shared.tls.as_ref().ok_or(Ended::Garbled("TLS is not set up"))?;
        let stream = acceptor.accept(stream).await?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(Ended::Garbled("a TLS client does not say that it speaks postgresql"));
        }
        Ok(Self { frames: Frames::new(Box::new(stream), stall), is_encrypted: true })
    }

    /// The packet that begins a session: the protocol's minor version and the parameters.
    async fn startup(&mut self, shared: &Shared) -> Result<Option<(u16, Vec<(String, String)>)>, Ended> {
        for _ in 0..MAX_FIRSTS {
            let packet = self.frames.first().await?;
            match First::read(packet).map_err(|garbled| Ended::Garbled(garbled.0))? {
                First::Tls if self.is_encrypted => return Err(Ended::Garbled("TLS within TLS is not spoken")),
                First::Tls => match &shared.tls {
                    None => {
                        self.frames.put_byte(b'N');
                        self.frames.send().await?;
                    }
                    Some(acceptor) => {
                        self.frames.put_byte(b'S');
                        self.frames.send().await?;
                        self.encrypt(acceptor, shared).await?;
                    }
                },
                First::Gss => {
                    self.frames.put_byte(b'N');
                    self.frames.send().await?;
                }
                First::Cancel { process, secret } => {
                    shared.cancels.cancel(process, secret);
                    return Ok(None);
                }
                First::Version(_) => {
                    self.frames
                        .put(&Failure::fatal("0A000", "only version 3 of the protocol is spoken here").message());
                    self.frames.send().await?;
                    return Ok(None);
                }
                First::Startup { minor, parameters } => return Ok(Some((minor, parameters))),
            }
        }
        Err(Ended::Garbled("too many packets before the session"))
    }

    async fn encrypt(&mut self, acceptor: &tokio_rustls::TlsAcceptor, shared: &Shared) -> Result<(), Ended> {
        let stall = shared.settings().stall_timeout.0;
        let nothing: Stream = Box::new(tokio::io::empty());
        let plain = std::mem::replace(&mut self.frames, Frames::new(nothing, stall));
        // What came before the handshake would be taken for what came through it.
        let stream =
            plain.into_stream().ok_or(Ended::Garbled("something was sent between the wish for TLS and TLS"))?;
        let stream = acceptor.accept(stream).await?;
        self.frames = Frames::new(Box::new(stream), stall);
        self.is_encrypted = true;
        Ok(())
    }
}

struct Admitted {
    caller: Caller,
    account: Account,
    settings: Settings,
    place: OwnedSemaphorePermit,
}

async fn admit(
    frames: &mut Frames<Stream>,
    shared: &Arc<Shared>,
    peer: SocketAddr,
    is_encrypted: bool,
    minor: u16,
    parameters: &[(String, String)],
) -> Result<Result<Admitted, Failure>, Ended> {
    let must_encrypt =
        shared.tls.is_some() && (shared.settings().require_tls || !peer.ip().to_canonical().is_loopback());
    if must_encrypt && !is_encrypted {
        let failure = Failure::fatal("28000", "this server speaks to other machines through TLS only");
        return Ok(Err(failure.with_hint("connect with sslmode=require, or better verify-full")));
    }
    let mut settings = Settings::default();
    let options = match take_parameters(parameters, &mut settings) {
        Ok(options) => options,
        Err(failure) => return Ok(Err(failure.ending(true))),
    };
    if minor > 0 || !options.is_empty() {
        frames.put(&NegotiateProtocolVersion::new(0, options));
    }
    let limits = &shared.state.limits;
    let caller = match identify(frames, shared).await? {
        Ok(caller) => caller,
        Err(problem) => {
            // Those who are refused are counted too: guessing is a request.
            let account = limits.account(None, peer.ip());
            let problem = limits.request(&account).await.err().unwrap_or(problem);
            return Ok(Err(refused(&problem)));
        }
    };
    let account = limits.account(Some(&caller), peer.ip());
    if let Err(problem) = limits.request(&account).await {
        return Ok(Err(refused(&problem)));
    }
    if !caller.scopes.allow(Scope::Read) {
        return Ok(Err(refused(&scope_missing(Scope::Read))));
    }
    // Strangers take nobody's place.
    let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else {
        let failure = Failure::fatal("53300", "there are too many connections");
        return Ok(Err(failure.with_hint("close some, use a pool, or raise postgres.max_connections")));
    };
    frames.put(&Authentication::Ok);
    Ok(Ok(Admitted { caller, account, settings, place }))
}

/// What a client says at the beginning; the options of the protocol it wants and that are not there.
fn take_parameters(parameters: &[(String, String)], settings: &mut Settings) -> Result<Vec<String>, Failure> {
    let mut unknown = Vec::new();
    let value = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let user = value("user").unwrap_or_default();
    let database = value("database").unwrap_or(user);
    // Clients that are not told which one name the user's, or the one every server of Postgres has.
    if ![DATABASE, "postgres", user].contains(&database) {
        let shown: String = database.chars().take(60).collect();
        return Err(Failure::fatal("3D000", format!("there is no database \"{shown}\""))
            .with_hint(format!("the database is called {DATABASE}")));
    }
    for (name, value) in parameters {
        match name.as_str() {
            "user" | "database" => {}
            "replication" if matches!(value.as_str(), "false" | "off" | "no" | "0") => {}
            "replication" => return Err(Failure::fatal("0A000", "replication is not spoken here")),
            "options" => {
                for (name, value) in options(value)? {
                    settings.set(&name, &value)?;
                }
            }
            name if name.starts_with("_pq_.") => unknown.push(name.to_owned()),
            name => drop(settings.set(name, value)?),
        }
    }
    Ok(unknown)
}

/// `-c name=value` and `--name=value`, as libpq's `options` has them.
fn options(text: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut words = text.split_ascii_whitespace();
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        let pair = match word.strip_prefix("--") {
            Some(pair) => Some(pair),
            None if word == "-c" => words.next(),
            None => word.strip_prefix("-c"),
        };
        let Some((name, value)) = pair.and_then(|pair| pair.split_once('=')) else {
            let failure = Failure::fatal("22023", "the options of this connection cannot be read");
            return Err(failure.with_hint("write them like -c statement_timeout=5000"));
        };
        found.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(found)
}

async fn identify(frames: &mut Frames<Stream>, shared: &Shared) -> Result<Result<Caller, Problem>, Ended> {
    let auth = &shared.state.auth;
    if !auth.keys.are_required() {
        return Ok(auth.by_password(None).map_err(Problem::from));
    }
    frames.put(&Authentication::CleartextPassword);
    frames.send().await?;
    let idle = shared.settings().startup_timeout.0;
    let (kind, body) = frames.next(MAX_PASSWORD, idle).await?;
    let password = match Frontend::read(kind, body) {
        Ok(Frontend::Password(password)) if kind == b'p' => password,
        Ok(Frontend::Terminate) => return Err(Ended::Idle),
        _ => return Err(Ended::Garbled("a password was expected")),
    };
    if password.trim().is_empty() {
        return Ok(Err(Refusal::Missing.into()));
    }
    Ok(auth.by_password(Some(&password)).map_err(Problem::from))
}

/// A problem of HTTP as this protocol says it.
pub fn refused(problem: &Problem) -> Failure {
    let (state, hint) = match problem.code {
        "scope_missing" => ("42501", problem.hint.clone()),
        "key_missing" | "key_unknown" | "key_revoked" | "key_expired" | "credential_invalid" => (
            "28P01",
            Some("the password is a key of this server with the scope read; the user's name is free".to_owned()),
        ),
        "rate_limited" => ("53400", problem.hint.clone()),
        _ => ("53000", problem.hint.clone()),
    };
    let failure = Failure::fatal(state, problem.message.clone());
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pairs: &[(&str, &str)]) -> Result<Vec<String>, Failure> {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        take_parameters(&pairs, &mut Settings::default())
    }

    #[test]
    fn the_database_is_ours_or_unsaid() {
        assert!(taken(&[("user", "me"), ("database", "tideline")]).is_ok());
        assert!(taken(&[("user", "me"), ("database", "me")]).is_ok());
        assert!(taken(&[("user", "me")]).is_ok());
        assert_eq!(taken(&[("user", "me"), ("database", "shop")]).unwrap_err().state, "3D000");
        assert_eq!(taken(&[("user", "me"), ("replication", "database")]).unwrap_err().state, "0A000");
        assert_eq!(taken(&[("user", "me"), ("client_encoding", "LATIN1")]).unwrap_err().state, "22023");
        assert_eq!(taken(&[("user", "me"), ("_pq_.x", "1")]).unwrap(), ["_pq_.x"]);
    }

    #[test]
    fn options_are_settings() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            options("-c statement_timeout=5000 --application-name=x -cjit=off").unwrap(),
            [pair("statement_timeout", "5000"), pair("application_name", "x"), pair("jit", "off")]
        );
        assert_eq!(options("-x").unwrap_err().state, "22023");
    }
}
