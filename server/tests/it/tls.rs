//! TLS on both listeners: nothing is served without it where there is a certificate, and a new certificate is taken while
//! the server runs, a broken one not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tideline_server::app::router;
use tideline_server::config;
use tideline_server::tls::Tls;
use tideline_server::{listen, postgres};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::sync::CancellationToken;

use crate::app::{App, until};
use crate::process::Server;

/// A certificate for this machine with its key, made by itself.
pub fn certificate(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (cert, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", &format!("/CN={name}"), "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .stderr(Stdio::null())
        .status();
    assert!(made.is_ok_and(|status| status.success()), "openssl is missing");
    (cert, key)
}

struct Encrypted {
    app: App,
    tls: Arc<Tls>,
    http: SocketAddr,
    wire: SocketAddr,
    stop: CancellationToken,
    cert: PathBuf,
    key: PathBuf,
    dir: tempfile::TempDir,
}

impl Encrypted {
    fn start(settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = certificate(dir.path(), "first");
        let mut app = App::start(settings);
        let files = config::Tls {
            cert_file: cert.clone(),
            key_file: key.clone(),
            reload_every: "50ms".parse().unwrap(),
            ..config::Tls::default()
        };
        let tls = Tls::load(&files).unwrap().unwrap();
        app.state = app.state.clone().with_tls(Some(Arc::clone(&tls)));
        app.router = router(app.state.clone());
        let stop = CancellationToken::new();
        let (http, wire) = app.runtime.block_on(async {
            tls.watch(&files, stop.clone()).unwrap();
            let local = || listen::bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
            let (http, wire) = (local(), local());
            let addresses = (http.local_addr().unwrap(), wire.local_addr().unwrap());
            let acceptor = Some(tls.http().unwrap());
            tokio::spawn(listen::serve(http, acceptor, app.router.clone(), app.config.http.clone(), stop.clone()));
            let shared = postgres::Shared::new(app.state.clone(), stop.clone()).unwrap();
            tokio::spawn(postgres::serve(wire, shared));
            addresses
        });
        Self { app, tls, http, wire, stop, cert, key, dir }
    }

    /// A connection to a listener that trusts this certificate only.
    fn connect(
        &self,
        to: SocketAddr,
        trusted: &Path,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self.app.runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(to).await?;
            let name = ServerName::try_from("localhost").unwrap();
            TlsConnector::from(Arc::new(config)).connect(name, stream).await
        })
    }

    fn get(&self, trusted: &Path, path: &str) -> std::io::Result<String> {
        let mut stream = self.connect(self.http, trusted, &["http/1.1"])?;
        self.app.runtime.block_on(async {
            let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        })
    }
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[test]
fn what_is_served_is_served_through_tls_only() {
    let server = Encrypted::start(&[]);
    assert!(server.get(&server.cert, "/health/live").unwrap().starts_with("HTTP/1.1 200"));
    for (offered, chosen) in [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)] {
        let stream = server.connect(server.http, &server.cert, offered).unwrap();
        let chosen = chosen.map(str::as_bytes);
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen, "{offered:?}");
    }
    assert!(server.connect(server.http, &server.cert, &["postgresql"]).is_err());
    let mut plain = TcpStream::connect(server.http).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    plain.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1"), "{answer:?}");
    // A browser's cookie is for TLS only, without a setting.
    let begun = server.app.send(
        axum::http::Request::delete("/session")
            .header("origin", "https://localhost")
            .header("host", "localhost")
            .body(axum::body::Body::empty())
            .unwrap(),
    );
    let cookie = begun.headers.get("set-cookie").unwrap().to_str().unwrap();
    assert!(cookie.contains("; Secure"), "{cookie}");
}

fn startup(code: [u8; 4]) -> Vec<u8> {
    [&8_u32.to_be_bytes()[..], &code].concat()
}

const WISH_FOR_TLS: [u8; 4] = [4, 210, 22, 47];
const SESSION: &[u8] = b"\0\0\0\x11\0\x03\0\0user\0me\0\0";

#[test]
fn the_postgres_wire_is_encrypted_before_anything_is_said() {
    let server = Encrypted::start(&[("postgres.require_tls", "true"), ("tls.cert_file", "x"), ("tls.key_file", "x")]);
    let plain = || {
        let stream = TcpStream::connect(server.wire).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    };
    let rest = |mut stream: TcpStream| {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        String::from_utf8_lossy(&all).into_owned()
    };
    // Without it, a client is told why, and not asked for a key.
    let mut stream = plain();
    stream.write_all(SESSION).unwrap();
    let said = rest(stream);
    assert!(said.starts_with('E') && said.contains("28000") && said.contains("sslmode"), "{said}");
    // What is sent between the wish and the handshake is not taken for what comes through it.
    let mut stream = plain();
    stream.write_all(&[startup(WISH_FOR_TLS), SESSION.to_vec()].concat()).unwrap();
    let said = rest(stream);
    assert!(said.is_empty() || said == "S", "{said}");
    // At once, by a client that says what it speaks.
    let mut stream = server.connect(server.wire, &server.cert, &["postgresql"]).unwrap();
    let first = server.app.runtime.block_on(async {
        stream.write_all(SESSION).await.unwrap();
        stream.read_u8().await.unwrap()
    });
    assert_eq!(first, b'R');
    // One that does not is none of this protocol's.
    if let Ok(mut stream) = server.connect(server.wire, &server.cert, &[]) {
        let read = server.app.runtime.block_on(async {
            let _ = stream.write_all(SESSION).await;
            stream.read_u8().await
        });
        assert!(read.is_err());
    }
}

#[test]
fn a_new_certificate_is_taken_and_a_broken_one_leaves_the_old() {
    let server = Encrypted::start(&[]);
    let first = server.dir.path().join("trusted-first.crt");
    std::fs::copy(&server.cert, &first).unwrap();
    let (cert, key) = certificate(server.dir.path(), "second");
    assert!(server.get(&cert, "/health/live").is_err(), "the second is shown before it is there");
    std::fs::copy(&cert, &server.cert).unwrap();
    std::fs::copy(&key, &server.key).unwrap();
    until("the second is shown", || server.get(&cert, "/health/live").is_ok());
    assert!(server.get(&first, "/health/live").is_err());
    until("all is well", || server.get(&cert, "/health").unwrap().contains(r#""tls":{"status":"ok"}"#));
    // A certificate without its key, and what is none.
    for broken in ["not a certificate".to_owned(), std::fs::read_to_string(&first).unwrap()] {
        std::fs::write(&server.cert, broken).unwrap();
        until("it is said", || server.get(&cert, "/health").unwrap().contains(r#""tls":{"status":"degraded""#));
        assert!(server.tls.is_stale());
        let health = server.get(&cert, "/health").unwrap();
        assert!(health.starts_with("HTTP/1.1 200") && !health.contains(server.cert.to_str().unwrap()), "{health}");
        std::fs::copy(&cert, &server.cert).unwrap();
        until("it is well again", || !server.tls.is_stale());
    }
}

#[test]
fn a_certificate_that_cannot_be_used_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(dir.path(), "one");
    let (other, _) = certificate(dir.path(), "other");
    let junk = dir.path().join("junk");
    std::fs::write(&junk, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let missing = dir.path().join("missing");
    for (cert, key, said) in [
        (&missing, &key, "missing"),
        (&cert, &missing, "missing"),
        (&junk, &key, "do not go together"),
        (&key, &key, "no certificate"),
        (&cert, &cert, "no private key"),
        (&other, &key, "do not go together"),
    ] {
        let settings =
            [("TIDELINE_TLS_CERT_FILE", cert.to_str().unwrap()), ("TIDELINE_TLS_KEY_FILE", key.to_str().unwrap())];
        let error = Server::try_start(&dir.path().join("data"), &settings).err().unwrap();
        assert!(error.contains(said) && !error.contains("listening"), "{error}");
        assert!(!dir.path().join("data").exists(), "a folder was made all the same");
    }
    let half = [("TIDELINE_TLS_CERT_FILE", cert.to_str().unwrap())];
    let error = Server::try_start(&dir.path().join("data"), &half).err().unwrap();
    assert!(error.contains("tls.key_file"), "{error}");
}
