//! TLS for what listens: one certificate and key, loaded before anything is bound, and loaded again while the server runs.
//!
//! It fails closed. A file that cannot be used at the start stops the start; one that cannot be used later changes
//! nothing: the certificate before it stays, and log and `/health` say so.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::{Mutex, RwLock};
use tideline_engine::error::{Error, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use crate::config::Tls as Settings;

/// The largest certificate file or key file.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Protocols of the HTTP listener, the better first.
const HTTP: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// The protocol of the Postgres listener, where a client names one.
const POSTGRES: [&[u8]; 1] = [b"postgresql"];

/// A certificate in use, and whether its files can still be read.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    seen: Mutex<Option<Seen>>,
    /// Why the files as they are now are not in use.
    problem: Mutex<Option<String>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// What new connections are shown.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

/// What the two files were like when they were looked at. Links are followed: certificates are often replaced by
/// turning a link.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen([(SystemTime, u64, u64); 2]);

impl Seen {
    fn of(certificate: &Path, key: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let look = |path: &Path| {
            let file = std::fs::metadata(path).ok()?;
            Some((file.modified().ok()?, file.len(), file.ino()))
        };
        Some(Self([look(certificate)?, look(key)?]))
    }
}

fn unusable(message: String) -> Error {
    Error::invalid("tls_files", message).with_hint(
        "tls.cert_file is the certificate with its chain, tls.key_file its private key, both PEM; nothing is served \
         without TLS while they are set",
    )
}

impl Tls {
    /// Loads the certificate the settings name; `None` without any.
    ///
    /// # Errors
    /// `tls_files` when a file cannot be read, is no PEM, or the key is not the certificate's.
    pub fn load(settings: &Settings) -> Result<Option<Arc<Self>>> {
        if !settings.is_on() {
            return Ok(None);
        }
        let provider = Arc::new(ring::default_provider());
        let (certificate, key) = (settings.cert_file.clone(), settings.key_file.clone());
        let seen = Seen::of(&certificate, &key);
        let loaded = certified(&certificate, &key, &provider)?;
        let current = Arc::new(Current(RwLock::new(Arc::new(loaded))));
        let seen = Mutex::new(seen);
        Ok(Some(Arc::new(Self { certificate, key, provider, current, seen, problem: Mutex::default() })))
    }

    /// For the HTTP listener.
    ///
    /// # Errors
    /// None that is expected.
    pub fn http(&self) -> Result<TlsAcceptor> {
        self.acceptor(&HTTP)
    }

    /// For the Postgres listener.
    ///
    /// # Errors
    /// None that is expected.
    pub fn postgres(&self) -> Result<TlsAcceptor> {
        self.acceptor(&POSTGRES)
    }

    fn acceptor(&self, protocols: &[&[u8]]) -> Result<TlsAcceptor> {
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&self.provider)).with_safe_default_protocol_versions();
        let builder = builder.map_err(|e| Error::internal(format!("TLS cannot be set up: {e}")))?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::clone(&self.current) as _);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Loads the files again; the certificate before stays where they cannot be used.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn reload(&self) -> Result<()> {
        // Looked at first: what changes while it is read is read again.
        *self.seen.lock() = Seen::of(&self.certificate, &self.key);
        match certified(&self.certificate, &self.key, &self.provider) {
            Ok(loaded) => {
                *self.current.0.write() = Arc::new(loaded);
                *self.problem.lock() = None;
                tracing::info!("the TLS certificate was loaded again");
                Ok(())
            }
            Err(error) => {
                *self.problem.lock() = Some(error.message.clone());
                tracing::error!("the new TLS certificate cannot be used, so the one before stays: {error}");
                Err(error)
            }
        }
    }

    /// Whether the files are not as they were when they were last loaded.
    fn has_changed(&self) -> bool {
        *self.seen.lock() != Seen::of(&self.certificate, &self.key)
    }

    /// Whether a certificate is in use that its files no longer hold.
    pub fn is_stale(&self) -> bool {
        self.problem.lock().is_some()
    }

    /// Loads the files again when they change, and on SIGHUP.
    ///
    /// # Errors
    /// When the signal cannot be listened to.
    pub fn watch(self: &Arc<Self>, settings: &Settings, stop: CancellationToken) -> Result<()> {
        let mut hang_up = signal(SignalKind::hangup())?;
        let (tls, every) = (Arc::clone(self), settings.reload_every.0);
        tokio::spawn(async move {
            loop {
                let wanted = tokio::select! {
                    () = stop.cancelled() => return,
                    _ = hang_up.recv() => true,
                    () = tokio::time::sleep(every) => false,
                };
                let tls = Arc::clone(&tls);
                // It is in the log and in /health.
                let looked =
                    tokio::task::spawn_blocking(
                        move || {
                            if wanted || tls.has_changed() { tls.reload() } else { Ok(()) }
                        },
                    );
                drop(looked.await);
            }
        });
        Ok(())
    }
}

fn certified(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey> {
    let read = |path: &Path| -> Result<Vec<u8>> {
        let cannot = |e: std::io::Error| unusable(format!("{} cannot be read: {e}", path.display()));
        if std::fs::metadata(path).map_err(cannot)?.len() > MAX_FILE_BYTES {
            return Err(unusable(format!("{} is larger than 1 MiB", path.display())));
        }
        std::fs::read(path).map_err(cannot)
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(certificate)?).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| unusable(format!("{} holds no certificate in PEM", certificate.display())))?;
    // What is in the file is in no message.
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|_| unusable(format!("{} holds no private key in PEM without a password", key.display())))?;
    CertifiedKey::from_der(chain, private, provider)
        .map_err(|e| unusable(format!("{} and {} do not go together: {e}", certificate.display(), key.display())))
}
