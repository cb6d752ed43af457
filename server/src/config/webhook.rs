//! Addresses of receivers. What comes after the host is often a secret of its own, so it is never shown.

use std::fmt;
use std::str::FromStr;

use axum::http::Uri;
use sha2::{Digest as _, Sha256};

/// Where notices are sent: an `http://` or `https://` URL.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(String);

impl WebhookUrl {
    /// The whole URL, for the one who sends.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A name for it that can be written down: the beginning of its digest.
    pub fn target(&self) -> String {
        Sha256::digest(self.0.as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl FromStr for WebhookUrl {
    type Err = String;

    // The text is in no message: it may be a secret.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a receiver is written like https://hooks.example/shop".to_owned();
        let uri: Uri = text.trim().parse().map_err(|_| wrong())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return Err(wrong());
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("a receiver has no user or password in its address; notices are signed instead".to_owned());
        }
        Ok(Self(text.trim().to_owned()))
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uri: Uri = self.0.parse().unwrap_or_default();
        let rest = if uri.path() == "/" && uri.query().is_none() { "" } else { "/…" };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        write!(f, "{}://{authority}{rest}", uri.scheme_str().unwrap_or_default())
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Layers};

    #[test]
    fn an_address_shows_its_host_only() {
        let url: WebhookUrl = " https://hooks.example:8443/services/T0/hunter2?x=1 ".parse().unwrap();
        assert_eq!(url.to_string(), "https://hooks.example:8443/…");
        assert!(!format!("{url:?}").contains("hunter2") && !url.target().contains("hunter2"));
        assert_eq!(url.target().len(), 12);
        assert_eq!("http://hooks.example".parse::<WebhookUrl>().unwrap().to_string(), "http://hooks.example");
        for text in ["", "hooks.example", "ftp://hooks.example", "https://", "https://me:hunter2@hooks.example/"] {
            let error = text.parse::<WebhookUrl>().unwrap_err();
            assert!(!error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn neither_settings_nor_their_errors_show_it() {
        let mut layers = Layers::default();
        layers.flag("--set", "alerts.webhooks", "https://a.example/hunter2, http://b.example");
        let error = layers.load().unwrap_err();
        assert!(error.message.contains("alerts.webhook_secret"), "{error}");
        layers.flag("--set", "alerts.webhook_secret", "hunter2hunter2hunter2");
        let loaded = layers.load().unwrap();
        let text = crate::config::show::text(&loaded);
        assert!(text.contains("https://a.example/…, http://b.example") && !text.contains("hunter2"), "{text}");
        assert!(!format!("{:?}", loaded.config).contains("hunter2"));
        layers.flag("--set", "alerts.webhooks", "https://me:hunter2@a.example");
        let error = layers.load().unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        assert_eq!(Config::default().alerts.webhooks.0, []);
    }
}
