//! `/admin/backup` and `/admin/erase`: the data folder's life.
//!
//! A backup is streamed, as tar: whoever asks decides where it goes, on their own machine and with their own rights. No path
//! of a client's ever names a file here.

use std::io;
use std::sync::{Arc, Weak};

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;
use tideline_engine::backup::Piece;
use tideline_engine::engine::Backup;
use tideline_engine::erase::Person;
use tideline_engine::error::{Error, Result};

use super::admin::to_its_end;
use super::keys::read_json;
use super::params::Params;
use crate::app::AppState;
use crate::error::Problem;
use crate::tar;

/// A backup on its way to a client; `None` when its time is over.
type Underway = Arc<Mutex<Option<Box<Backup>>>>;

/// `GET /admin/backup`: the folder as it is now, as tar; its last file is the manifest.
pub async fn backup(State(state): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let params = Params::read(&uri, &["keys"])?;
    let keys = match params.get("keys").unwrap_or("true") {
        "true" => true,
        "false" => false,
        other => {
            return Err(Problem::bad_request("invalid_parameter", format!("`keys` is true or false, not `{other}`")));
        }
    };
    let within = state.config.backup.max_time.0;
    let backup = state.engine.backup(keys, within).await?;
    let now_s = state.engine.clock().now().div_euclid(1_000_000);
    let underway: Underway = Arc::new(Mutex::new(Some(Box::new(backup))));
    // A client that stops reading must not hold what the backup holds for ever.
    let watched: Weak<_> = Arc::downgrade(&underway);
    tokio::spawn(async move {
        tokio::time::sleep(within).await;
        if let Some(underway) = watched.upgrade() {
            underway.lock().take();
        }
    });
    let pieces = futures::stream::try_unfold(Some((underway, 0)), move |at| async move {
        let Some((underway, padding)) = at else { return Ok(None) };
        let reading = Arc::clone(&underway);
        let read = tokio::task::spawn_blocking(move || next(&reading, padding, now_s)).await;
        match read.map_err(|e| Error::internal(e.to_string())).flatten() {
            Ok((bytes, Some(padding))) => Ok(Some((bytes, Some((underway, padding))))),
            Ok((bytes, None)) => Ok(Some((bytes, None))),
            Err(e) => {
                tracing::warn!(error = %e, "a backup was aborted");
                Err(io::Error::other("the backup failed"))
            }
        }
    });
    let named = [
        (CONTENT_TYPE, "application/x-tar"),
        (CONTENT_DISPOSITION, "attachment; filename=\"tideline-backup.tar\""),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((named, Body::from_stream(pieces)).into_response())
}

/// The next bytes of the tar file, and how many fill the last block of the file they belong to; `None` at the end.
fn next(underway: &Underway, padding: usize, now_s: i64) -> Result<(Bytes, Option<usize>)> {
    let mut held = underway.lock();
    let Some(backup) = held.as_mut() else {
        return Err(Error::internal("the backup took longer than backup.max_time, and nobody read on"));
    };
    match backup.next_piece()? {
        Some(Piece::Bytes(bytes)) => Ok((bytes, Some(padding))),
        Some(Piece::File { path, bytes }) => {
            let mut block = vec![0; padding];
            block.extend_from_slice(&tar::header(&path, bytes, now_s)?);
            Ok((block.into(), Some(tar::padding(bytes))))
        }
        None => {
            let mut block = vec![0; padding];
            block.extend_from_slice(&tar::END);
            // What was held is let go with the last bytes, whenever the client takes them.
            *held = None;
            Ok((block.into(), None))
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EraseRequest {
    #[serde(default)]
    user_id: Option<String>,
    #[serde(default)]
    anonymous_ids: Vec<String>,
    #[serde(default)]
    rows: bool,
}

/// `POST /admin/erase`: removes a person; the answer is the report. It runs to its end when the client goes away.
pub async fn erase(State(state): State<AppState>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let shape = r#"{"user_id":"u_204983","anonymous_ids":[],"rows":false}"#;
    let EraseRequest { user_id, anonymous_ids, rows } = read_json(&state, &headers, body, shape).await?;
    let person = Person { user_id, anonymous_ids };
    to_its_end(state, move |engine| async move { engine.erase(person, rows).await }).await
}
