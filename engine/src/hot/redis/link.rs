//! A connection that is made when it is needed, and made anew after an error.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, RedisError, RedisResult};
use parking_lot::Mutex;

use crate::error::{Error, Kind, Result};
use crate::measure::{Counter, Histogram, SHORT};

/// What calls of Redis count, since the process started.
#[derive(Debug)]
pub struct RedisMeasures {
    /// How long calls took, those that failed included.
    pub took: Histogram,
    /// Calls that were not answered in time.
    pub timeouts: Counter,
    /// Calls that failed otherwise: no connection, out of memory, an error.
    pub errors: Counter,
}

impl Default for RedisMeasures {
    fn default() -> Self {
        Self { took: Histogram::new(SHORT), timeouts: Counter::default(), errors: Counter::default() }
    }
}

/// One connection, shared by whoever asks.
pub(super) struct Link {
    client: Client,
    config: AsyncConnectionConfig,
    connection: Mutex<Option<MultiplexedConnection>>,
    measures: Arc<RedisMeasures>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("address", &address(&self.client)).finish_non_exhaustive()
    }
}

/// Host, port and database of a client, without its credentials.
pub(super) fn address(client: &Client) -> String {
    let info = client.get_connection_info();
    format!("{}/{}", info.addr(), info.redis_settings().db())
}

impl Link {
    pub fn new(client: Client, connect: Duration, response: Duration, measures: Arc<RedisMeasures>) -> Self {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(connect)).set_response_timeout(Some(response));
        Self { client, config, connection: Mutex::new(None), measures }
    }

    /// Runs commands on the connection.
    pub async fn run<T>(&self, commands: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>) -> Result<T> {
        let begun = Instant::now();
        let outcome = match self.connection().await {
            Ok(mut connection) => commands(&mut connection).await,
            Err(e) => Err(e),
        };
        self.measures.took.took(begun.elapsed());
        outcome.map_err(|e| self.failed(e))
    }

    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        if let Some(connection) = self.connection.lock().clone() {
            return Ok(connection);
        }
        let connection = self.client.get_multiplexed_async_connection_with_config(&self.config).await?;
        *self.connection.lock() = Some(connection.clone());
        Ok(connection)
    }

    /// What went wrong, for people. A connection that did not answer is not used again: what it still owes would be
    /// waited for first.
    fn failed(&self, e: RedisError) -> Error {
        if e.is_io_error() || e.is_unrecoverable_error() {
            *self.connection.lock() = None;
        }
        let count = if e.is_timeout() { &self.measures.timeouts } else { &self.measures.errors };
        count.inc();
        let address = address(&self.client);
        let (code, message) = match (e.is_timeout(), e.code()) {
            (true, _) => ("redis_timeout", format!("Redis at {address} did not answer in time")),
            (_, Some("OOM")) => ("redis_full", format!("Redis at {address} is out of memory")),
            _ => ("redis_unavailable", format!("Redis at {address}: {e}")),
        };
        Error::new(Kind::Busy, code, message).with_source(e)
    }
}
