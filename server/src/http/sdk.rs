//! What requests of other makers' SDKs have in common: the key may stand in the body, and so is looked for once that is read.

use std::net::IpAddr;

use axum::Extension;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use tideline_engine::decode::InputFormat;
use tideline_engine::engine::{Ack, Origin, Receipt};

use super::body::{self, Limits};
use crate::app::AppState;
use crate::auth::scope::Scope;
use crate::auth::{Caller, Refusal, scope_missing};
use crate::config::ByteSize;
use crate::error::Problem;
use crate::rate_limit::{Account, Standings};

/// One API's requests.
#[derive(Debug, Clone, Copy)]
pub struct Api {
    /// How a body is to be read.
    pub format: InputFormat,
    /// How dead letters and measures name it.
    pub source: &'static str,
    /// The key in a body.
    pub key: fn(&[u8]) -> Option<String>,
}

/// Who sends, as far as headers say it.
#[derive(Debug)]
pub struct Sender {
    /// The key of a header; none: the body may have one.
    pub known: Option<(Caller, Account)>,
    /// Where the request comes from.
    pub address: IpAddr,
}

impl Sender {
    /// Of what stands before the handler.
    pub fn new(caller: Option<Extension<Caller>>, account: Option<Extension<Account>>, address: IpAddr) -> Self {
        Self { known: caller.zip(account).map(|(caller, account)| (caller.0, account.0)), address }
    }
}

/// Takes a request's events in; `success` is the answer once every acceptable one is durable.
pub async fn take(
    state: &AppState,
    api: Api,
    sender: Sender,
    headers: &HeaderMap,
    body: Body,
    success: &impl Serialize,
) -> Result<Response, Problem> {
    let settings = &state.config.ingest;
    // Who sends without a key in a header has not been looked at yet.
    let most = if sender.known.is_some() { u64::MAX } else { settings.max_keyless_body_bytes.0 };
    let limits = Limits {
        sent: ByteSize(settings.max_body_bytes.0.min(most)),
        decoded: ByteSize(settings.max_decoded_bytes.0.min(most)),
        ratio: settings.max_ratio,
        stall: state.config.http.body_timeout.0,
    };
    let (bytes, _room) = body::read(state, headers, body, limits).await?;
    let (mut answers, caller, account) = match sender.known {
        Some((caller, account)) => (Vec::new(), caller, account),
        None => {
            let key = (api.key)(&bytes).ok_or(Refusal::Missing);
            let found = key.and_then(|key| state.auth.by_write_key(&key));
            let account = state.limits.account(found.as_ref().ok(), sender.address);
            let standings = state.limits.request(&account).await?;
            let caller = found?;
            if !caller.scopes.allow(Scope::Ingest) {
                return Err(scope_missing(Scope::Ingest));
            }
            (vec![standings], caller, account)
        }
    };
    let received = state.engine.receive(bytes, api.format).await?;
    let standings = if state.limits.counts_events(&account) {
        state.limits.events(&account, received.events(), &received.events_per_user()).await?
    } else {
        Standings::default()
    };
    answers.insert(0, standings);
    let origin = Origin { source: api.source, key: caller.key_id() };
    let receipt = state.engine.keep(received, origin, Ack::Durable).await?;
    let mut answer = match nothing_accepted(&receipt) {
        Some(problem) => return Err(problem),
        None => super::json(StatusCode::OK, success),
    };
    for standings in &answers {
        state.limits.write_headers(standings, answer.headers_mut());
    }
    Ok(answer)
}

/// An error for a request of which nothing was acceptable: sent again it would be refused again, and SDKs do not repeat a 400.
fn nothing_accepted(receipt: &Receipt) -> Option<Problem> {
    let first = receipt.errors.first().filter(|_| receipt.is_rejected())?;
    let message = format!("no message was accepted; the first: {} ({})", first.message, first.code);
    let hint = "the messages are kept as dead letters, which can be replayed: see /admin/dead-letters";
    Some(Problem::bad_request("nothing_accepted", message).with_hint(hint))
}
