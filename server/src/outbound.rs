//! What this server asks of others over HTTP: receivers of notices are told.
//!
//! One kind of client for all of it. It goes where the settings say and nowhere else: it follows no redirect and knows no proxy.
//! Certificates are verified against the system's roots, and against those of `tls.ca_file` besides.

use std::time::Duration;

use reqwest::{Certificate, Client};
use tideline_engine::error::{Error, Result};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use crate::config::Tls as Settings;

/// The largest file of certificates: the system's own has a quarter of that.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A client whose requests take at most `timeout`, the answer's body included. `tls.ca_file` is read once, here.
///
/// # Errors
/// `tls_ca_file` when that file cannot be used; and when the system has no certificates to trust.
pub fn client(settings: &Settings, timeout: Duration) -> Result<Client> {
    let builder = Client::builder()
        .user_agent(concat!("tideline/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    let builder = authorities(settings)?.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
    builder.build().map_err(|e| Error::internal(format!("others cannot be asked over HTTP: {e}")))
}

/// The certificates of `tls.ca_file`; none without it.
fn authorities(settings: &Settings) -> Result<Vec<Certificate>> {
    let path = &settings.ca_file;
    if path.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let unusable = |why: String| {
        let hint = "tls.ca_file holds the certificates of authorities to trust besides the system's, in PEM";
        Error::invalid("tls_ca_file", format!("{} {why}", path.display())).with_hint(hint)
    };
    let cannot = |e: std::io::Error| unusable(format!("cannot be read: {e}"));
    if std::fs::metadata(path).map_err(cannot)?.len() > MAX_FILE_BYTES {
        return Err(unusable("is larger than 1 MiB".to_owned()));
    }
    let mut trusted = RootCertStore::empty();
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&std::fs::read(path).map_err(cannot)?) {
        let certificate = certificate.map_err(|e| unusable(format!("is no PEM: {e}")))?;
        let unfit = |e: String| unusable(format!("holds a certificate that cannot be used: {e}"));
        // Looked at here, so that what is wrong with it is said of this file.
        trusted.add(certificate.clone()).map_err(|e| unfit(e.to_string()))?;
        found.push(Certificate::from_der(certificate.as_ref()).map_err(|e| unfit(e.to_string()))?);
    }
    if found.is_empty() {
        return Err(unusable("holds no certificate in PEM".to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_no_client() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let asked = || client(&Settings { ca_file: file.clone(), ..Settings::default() }, Duration::from_secs(1));
        assert_eq!(asked().unwrap_err().code, "tls_ca_file");
        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(asked().unwrap_err().code, "tls_ca_file", "{text}");
        }
        assert!(client(&Settings::default(), Duration::from_secs(1)).is_ok());
    }
}
