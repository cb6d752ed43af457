//! Asking the provider: its discovery document, its keys, an ID token for a code, what it knows about somebody.
//!
//! Nothing is asked before somebody signs in. What was answered is kept for an hour, keys also no longer than until a token
//! names one that is not among them. A provider that does not answer is left alone for a moment.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tideline_engine::clock::{Clock, Micros};
use tokio::sync::Mutex;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::token::Key;
use super::{Claims, Failure, redirect_uri};
use crate::config::{Oidc as Settings, is_web_address};

/// The longest answer that is read.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Keys of a provider; further ones are not looked at.
const MAX_KEYS: usize = 100;
/// How long what the provider answered is believed.
const FRESH: Micros = micros(Duration::from_secs(3_600));
/// How long after the keys were read an unknown one makes them be read again.
const KEYS_AGAIN: Micros = micros(Duration::from_secs(30));
/// How long a provider that did not answer is not asked again.
const LEFT_ALONE: Micros = micros(Duration::from_secs(5));

const fn micros(time: Duration) -> Micros {
    time.as_secs() as Micros * 1_000_000
}

/// What the discovery document says (OpenID Connect Discovery 1.0, RFC 8414), as far as it is needed.
#[derive(Debug, Clone, Deserialize)]
pub struct Metadata {
    issuer: String,
    /// Where browsers are sent.
    pub authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether every answer says whose it is.
    #[serde(rename = "authorization_response_iss_parameter_supported", default)]
    pub names_itself: bool,
}

/// What a code is exchanged for.
#[derive(Deserialize)]
pub struct Tokens {
    /// Who somebody is; still to be verified.
    pub id_token: String,
    /// With it the provider tells more.
    pub access_token: Option<String>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

/// What was asked, when, and what came of it.
#[derive(Debug)]
struct Asked<T> {
    at: Micros,
    answer: Result<T, Failure>,
}

/// One provider.
#[derive(Debug)]
pub struct Provider {
    client: Client,
    settings: Settings,
    clock: Arc<dyn Clock>,
    metadata: Mutex<Option<Asked<Arc<Metadata>>>>,
    keys: Mutex<Option<Asked<Arc<[Key]>>>>,
}

impl Provider {
    /// The one of the settings.
    pub fn new(client: Client, settings: Settings, clock: Arc<dyn Clock>) -> Self {
        Self { client, settings, clock, metadata: Mutex::default(), keys: Mutex::default() }
    }

    /// Its discovery document. Whoever comes while it is being asked waits for the same answer.
    pub async fn metadata(&self) -> Result<Arc<Metadata>, Failure> {
        let mut asked = self.metadata.lock().await;
        if let Some(Asked { at, answer }) = &*asked
            && self.clock.now() < *at + if answer.is_ok() { FRESH } else { LEFT_ALONE }
        {
            return answer.clone();
        }
        let answer = self.discover().await.map(Arc::new);
        *asked = Some(Asked { at: self.clock.now(), answer: answer.clone() });
        answer
    }

    async fn discover(&self) -> Result<Metadata, Failure> {
        let issuer = &self.settings.issuer;
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let metadata: Metadata = ask(self.client.get(url), "discovery document").await?;
        if metadata.issuer != *issuer {
            let other = "its discovery document names another issuer than oidc.issuer, to the letter";
            return Err(Failure::Unreachable(other.to_owned()));
        }
        let Metadata { authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint, .. } = &metadata;
        let all = [Some(authorization_endpoint), Some(token_endpoint), Some(jwks_uri), userinfo_endpoint.as_ref()];
        // Neither a secret nor a key goes over a line that others can read or write; and what is elsewhere names nothing here.
        let is_fit =
            |url: &String| is_web_address(url) && (url.starts_with("https://") || issuer.starts_with("http://"));
        if !all.into_iter().flatten().all(is_fit) {
            return Err(Failure::Unreachable("an endpoint of it is not https".to_owned()));
        }
        Ok(metadata)
    }

    /// The key of this name; without a name the only one there is.
    pub async fn key(&self, id: Option<&str>) -> Result<Key, Failure> {
        let uri = self.metadata().await?.jwks_uri.clone();
        let mut asked = self.keys.lock().await;
        let now = self.clock.now();
        if let Some(Asked { at, answer }) = &*asked {
            match answer {
                Err(failure) if now < *at + LEFT_ALONE => return Err(failure.clone()),
                Ok(keys) if now < *at + FRESH => match pick(keys, id) {
                    Some(key) => return Ok(key),
                    None if now < *at + KEYS_AGAIN => return Err(unknown_key()),
                    None => {}
                },
                _ => {}
            }
        }
        let answer: Result<KeySet, Failure> = ask(self.client.get(uri), "keys").await;
        let answer: Result<Arc<[Key]>, Failure> =
            answer.map(|set| set.keys.iter().filter_map(Key::read).take(MAX_KEYS).collect());
        *asked = Some(Asked { at: self.clock.now(), answer: answer.clone() });
        pick(&answer?, id).ok_or_else(unknown_key)
    }

    /// Exchanges a code.
    pub async fn exchange(&self, code: &str, verifier: &str) -> Result<Tokens, Failure> {
        let metadata = self.metadata().await?;
        let request = self.client.post(&metadata.token_endpoint);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = self.with_grant(request, &metadata, code, verifier);
        match ask(request, "tokens").await {
            // A code that it does not take is no fault of its own.
            Err(Failure::Unreachable(why)) if why.ends_with("answered 400") => Err(Failure::Invalid(why)),
            answer => answer,
        }
    }

    /// The grant as a form, and who asks in one of the ways that the provider takes (RFC 6749, 2.3.1).
    fn with_grant(&self, request: RequestBuilder, metadata: &Metadata, code: &str, verifier: &str) -> RequestBuilder {
        let Settings { client_id, client_secret, .. } = &self.settings;
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &redirect_uri(&self.settings))
            .append_pair("code_verifier", verifier);
        // Basic is what a provider that says nothing takes.
        let methods = metadata.token_endpoint_auth_methods_supported.as_deref();
        let takes_basic = methods.is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic"));
        if client_secret.is_empty() {
            form.append_pair("client_id", client_id);
        } else if takes_basic {
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let pair = format!("{}:{}", encoded(client_id), encoded(client_secret.expose()));
            let header = format!("Basic {}", BASE64_STANDARD.encode(pair));
            return request.header(AUTHORIZATION, header).body(form.finish());
        } else {
            form.append_pair("client_id", client_id).append_pair("client_secret", client_secret.expose());
        }
        request.body(form.finish())
    }

    /// What it knows about the one whose token this is; `None` where it does not tell.
    pub async fn about(&self, access_token: &str) -> Result<Option<Claims>, Failure> {
        match &self.metadata().await?.userinfo_endpoint {
            Some(url) => ask(self.client.get(url).bearer_auth(access_token), "user info").await.map(Some),
            None => Ok(None),
        }
    }
}

fn unknown_key() -> Failure {
    Failure::Invalid("the ID token was signed with a key that is not the provider's".to_owned())
}

fn pick(keys: &[Key], id: Option<&str>) -> Option<Key> {
    let mut fitting = keys.iter().filter(|key| id.is_none_or(|id| key.id.as_deref() == Some(id)));
    let first = fitting.next()?;
    // Without a name there must be no choice.
    (id.is_some() || fitting.next().is_none()).then(|| first.clone())
}

/// Asks for a JSON document. Neither an address with its query nor anything of the answer is in an error.
async fn ask<T: DeserializeOwned>(request: RequestBuilder, what: &str) -> Result<T, Failure> {
    let failed = |why: &str| Failure::Unreachable(format!("{what}: {why}"));
    let sent = request.header(ACCEPT, "application/json").send().await;
    let mut answer = sent.map_err(|e| {
        failed(match e.is_timeout() {
            true => "it did not answer in time",
            false => "there was no connection",
        })
    })?;
    if !answer.status().is_success() {
        return Err(failed(&format!("it answered {}", answer.status().as_u16())));
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| failed("the answer broke off"))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(failed("the answer is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|_| failed("the answer is not what OpenID Connect says"))
}
