//! Before each handler: its route's access against the caller, and the caller's limit of requests.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::client::{ClientAddress, Peer};
use super::guard;
use crate::app::AppState;
use crate::auth::{Caller, Identity, Refusal, scope_missing};
use crate::error::Problem;
use crate::routes::Access;

/// Which route answered, as it was declared: an extension of its answers.
#[derive(Debug, Clone)]
pub struct Template(pub Arc<str>);

/// Lets a request through to its handler, with its [`Caller`] and its [`crate::rate_limit::Account`] as extensions.
pub async fn check(
    State((state, access, template)): State<(AppState, Access, Template)>,
    Extension(identity): Extension<Identity>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = checked(&state, access, identity, address, request, next).await.into_response();
    response.extensions_mut().insert(template);
    response
}

async fn checked(
    state: &AppState,
    access: Access,
    identity: Identity,
    address: IpAddr,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if access == Access::Public {
        return Ok(next.run(request).await);
    }
    if access == Access::WriteKey && !identity.has_key() {
        // Only the handler sees the body; it charges the request, too.
        return Ok(next.run(request).await);
    }
    // Those who are refused are counted too: guessing is a request.
    let account = state.limits.account(identity.caller.as_ref().ok(), address);
    let standings = state.limits.request(&account).await?;
    let permitted = permit(state, access, identity.caller, &request);
    let mut response = match permitted {
        Ok(caller) => {
            request.extensions_mut().insert(account);
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    state.limits.write_headers(&standings, response.headers_mut());
    Ok(response)
}

fn permit(
    state: &AppState,
    access: Access,
    caller: Result<Caller, Refusal>,
    request: &Request,
) -> Result<Option<Caller>, Problem> {
    let caller = match (access, caller) {
        (Access::Public | Access::Anyone, caller) => return Ok(caller.ok()),
        (Access::Scrape, Err(Refusal::Missing)) if state.config.http.scrape_without_key && is_local(request) => {
            return Ok(None);
        }
        (_, caller) => caller?,
    };
    if let Some(scope) = access.scope()
        && !caller.scopes.allow(scope)
    {
        return Err(scope_missing(scope));
    }
    let is_write = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if caller.is_session() && is_write && !guard::says_own_page(request) {
        return Err(cross_site_write());
    }
    Ok(Some(caller))
}

/// Whether a program on this machine sends it, and for itself: not a proxy, which says for whom.
fn is_local(request: &Request) -> bool {
    let speaks_for_another = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    request.extensions().get::<Peer>().is_some_and(|peer| peer.0.ip().to_canonical().is_loopback())
        && !speaks_for_another.iter().any(|name| request.headers().contains_key(*name))
}

/// A browser adds the cookie to whatever any page sends: only pages of our own may write with it.
pub fn cross_site_write() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "csrf", "a session may change something only from this server's own pages")
        .with_hint("send an Origin of this server, or use a key instead of the cookie")
}
