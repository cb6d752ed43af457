//! Signing in with an OpenID provider: the authorization code flow with PKCE (RFC 6749, RFC 7636, OpenID Connect Core 1.0).
//!
//! ```text
//! GET /session/oidc ─▶ state, nonce and verifier kept here, a cookie for this browser ─▶ the provider's page
//!     ─▶ GET /session/oidc/callback ─▶ code and verifier for an ID token ─▶ verified ─▶ rules ─▶ a session
//! ```
//!
//! Nobody is let in by default: `rules.rs` says who is, from what the provider says of them. Codes and tokens are neither
//! kept nor logged, and of what they say the subject only; what goes wrong is told to the browser as one word.

mod pending;
mod provider;
mod rules;
mod token;

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tideline_engine::clock::Clock;
use tideline_engine::error::{Error, Result};
use url::Url;

use super::scope::Scopes;
use crate::config::{Config, Oidc as Settings};
use crate::outbound;
use pending::Pending;
use provider::Provider;
use token::Expected;

pub use pending::LIFETIME_S;

/// Where the provider sends browsers back to, below `oidc.public_url`.
pub const CALLBACK: &str = "/session/oidc/callback";
/// The longest name and the longest subject that are kept.
const MAX_NAME: usize = 255;

/// What a provider says of somebody.
pub type Claims = Map<String, Value>;

/// Somebody who has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who they are to the provider; never another's.
    pub subject: String,
    /// What they are called on the page.
    pub name: String,
    /// What they may do.
    pub scopes: Scopes,
}

/// Why somebody is not signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The provider does not answer, or not with what OpenID Connect says.
    Unreachable(String),
    /// This browser did not begin this, or too long ago, or has been here before.
    Expired,
    /// The provider says no.
    Refused(String),
    /// What the provider sent does not hold.
    Invalid(String),
    /// It is known who they are, and no rule lets them in.
    NotAllowed,
}

impl Failure {
    /// One word for the page.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Expired => "expired",
            Self::Refused(_) => "refused",
            Self::Invalid(_) => "invalid",
            Self::NotAllowed => "not_allowed",
        }
    }
}

/// A browser on its way to the provider.
#[derive(Debug)]
pub struct Begun {
    /// Where it is sent.
    pub location: String,
    /// What it shows when it comes back: the cookie's value.
    pub browser: String,
}

/// The relying party: this server, as the provider knows it.
#[derive(Debug)]
pub struct Oidc {
    settings: Settings,
    provider: Provider,
    pending: Pending,
    clock: Arc<dyn Clock>,
}

impl Oidc {
    /// As the settings say; `None` without `oidc.issuer`. The provider is asked when somebody signs in.
    ///
    /// # Errors
    /// When the client cannot be made: `tls.ca_file` cannot be used, for example.
    pub fn load(config: &Config, clock: Arc<dyn Clock>) -> Result<Option<Arc<Self>>> {
        let settings = config.oidc.clone();
        if !settings.is_on() {
            return Ok(None);
        }
        token::use_ring();
        let client = outbound::client(&config.tls, settings.timeout.0)?;
        let provider = Provider::new(client, settings.clone(), Arc::clone(&clock));
        Ok(Some(Arc::new(Self { settings, provider, pending: Pending::default(), clock })))
    }

    /// Sends a browser to the provider.
    ///
    /// # Errors
    /// When the provider cannot be asked where that is.
    pub async fn begin(&self) -> std::result::Result<Begun, Failure> {
        let metadata = self.provider.metadata().await?;
        let mut location = Url::parse(&metadata.authorization_endpoint)
            .map_err(|_| Failure::Unreachable("its authorization endpoint is no URL".to_owned()))?;
        let flow = self.pending.begin(self.clock.now());
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(flow.verifier.as_bytes()));
        location
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", &redirect_uri(&self.settings))
            .append_pair("scope", &self.settings.scopes)
            .append_pair("state", &flow.state)
            .append_pair("nonce", &flow.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(Begun { location: location.into(), browser: flow.browser })
    }

    /// Takes a browser back: its cookie, and the parameters with which the provider sent it.
    ///
    /// # Errors
    /// Why nobody is signed in. Nothing of it is left: the state cannot be used again.
    pub async fn finish(
        &self,
        browser: Option<&str>,
        params: &HashMap<String, String>,
    ) -> std::result::Result<Person, Failure> {
        let get = |name: &str| params.get(name).map(String::as_str);
        let (state, browser) = (get("state").ok_or(Failure::Expired)?, browser.ok_or(Failure::Expired)?);
        let flow = self.pending.take(state, browser, self.clock.now()).ok_or(Failure::Expired)?;
        let metadata = self.provider.metadata().await?;
        // RFC 9207: an answer says whose it is, so that one provider's cannot be taken for another's.
        if get("iss").map_or(metadata.names_itself, |issuer| issuer != self.settings.issuer) {
            return Err(Failure::Invalid("the answer is not this issuer's".to_owned()));
        }
        if let Some(error) = get("error") {
            let word = error.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect();
            return Err(Failure::Refused(word));
        }
        let code = get("code").ok_or_else(|| Failure::Invalid("there is no code".to_owned()))?;
        let tokens = self.provider.exchange(code, &flow.verifier).await?;
        let key = self.provider.key(token::key_id(&tokens.id_token)?.as_deref()).await?;
        let expected = Expected {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce: &flow.nonce,
            now_s: self.clock.now().div_euclid(1_000_000),
        };
        let mut claims = token::verify(&tokens.id_token, &key, &expected)?;
        let subject = token::subject(&claims)?.to_owned();
        // Many providers put no more than the subject into an ID token and tell the rest when asked.
        if !rules::are_decidable(&claims, &self.settings)
            && let Some(access) = &tokens.access_token
            && let Some(more) = self.provider.about(access).await?
        {
            if more.get("sub").and_then(Value::as_str) != Some(&subject) {
                return Err(Failure::Invalid("the user info is about somebody else".to_owned()));
            }
            rules::add(&mut claims, more);
        }
        let scopes = rules::scopes(&claims, &self.settings);
        if scopes.is_empty() {
            return Err(Failure::NotAllowed);
        }
        let name = ["name", "preferred_username", "email"].into_iter().find_map(|name| claims.get(name)?.as_str());
        let name = name.map(str::trim).filter(|name| !name.is_empty()).unwrap_or(&subject);
        Ok(Person { name: name.chars().take(MAX_NAME).collect(), subject, scopes })
    }
}

/// Where the provider sends browsers back to, to the letter.
fn redirect_uri(settings: &Settings) -> String {
    format!("{}{CALLBACK}", settings.public_url)
}

/// Whether a server may be started with these settings: who set up single sign-on does not mean everybody, which a
/// server without keys serves.
///
/// # Errors
/// `oidc_without_keys`.
pub fn may_start(settings: &Settings, has_keys: bool) -> Result<()> {
    if settings.is_on() && !has_keys {
        let message = "single sign-on is set up, and without keys everybody on this machine is let in without it";
        return Err(Error::invalid("oidc_without_keys", message)
            .with_hint("make a key first: tideline keys create --name admin --scopes admin"));
    }
    Ok(())
}
