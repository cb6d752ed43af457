//! `/alerts`: what is wrong now, what was, and how the rules are.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::params::Params;
use crate::alerts::{MAX_PAGE, PAGE, Which, listing};
use crate::app::AppState;
use crate::error::Problem;

/// `GET /alerts`: the open ones first, then the latest.
pub async fn list(State(state): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let params = Params::read(&uri, &["status", "limit"])?;
    let which = params.get("status").map_or(Ok(Which::All), Which::parse)?;
    let limit = params.number("limit")?.map_or(PAGE, |n| usize::try_from(n).unwrap_or(usize::MAX));
    if !(1..=MAX_PAGE).contains(&limit) {
        let message = format!("`limit` is a number from 1 to {MAX_PAGE}");
        return Err(
            Problem::bad_request("invalid_parameter", message).with_hint("ask SQL for more: SELECT * FROM alerts")
        );
    }
    let listing = listing(state.engine.alerts(), &state.config.alerts.webhooks.0, which, limit);
    Ok(super::json(StatusCode::OK, &listing))
}
