//! Notices about alerts, sent to the addresses of the settings: signed, tried again, in order for each receiver.
//!
//! ```text
//! alert log (durable, with the notices) ─▶ one task for each receiver ─▶ POST ─▶ 2xx: taken out │ else: later, or given up
//! ```
//!
//! A receiver is sent one notice at a time and the next when that one is settled, so that it hears of an alert's end
//! after its beginning. Receivers do not wait for each other, and judging waits for none. A notice may come twice, with
//! the same `Tideline-Delivery`.

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::CONTENT_TYPE;
use sha2::{Digest as _, Sha256};
use tideline_engine::alert_log::{AlertLog, Notice};
use tideline_engine::clock::{Clock, MILLISECOND, Micros};
use tideline_engine::engine::Engine;
use tideline_engine::error::{Error, Result};
use tokio_util::sync::CancellationToken;

use crate::config::{Alerts, Config, Secret, WebhookUrl};
use crate::http::ops::VERSION;
use crate::outbound;

/// `t=UNIX_SECONDS,v1=HEX`: HMAC-SHA256 over `UNIX_SECONDS.BODY`.
pub const SIGNATURE: &str = "tideline-signature";
/// The notice's id, the same in every try.
pub const DELIVERY: &str = "tideline-delivery";
/// `alert.opened` or `alert.closed`.
pub const EVENT: &str = "tideline-event";
/// Which try it is, from 1.
pub const ATTEMPT: &str = "tideline-attempt";

/// How long to wait when what was done cannot be written down.
const AFTER_DISK_ERROR: Duration = Duration::from_secs(5);

/// Starts a task for each receiver, on this runtime; they end with `stop`.
///
/// # Errors
/// When the client cannot be made: `tls.ca_file` cannot be used, for example.
pub fn start(engine: &Arc<Engine>, config: &Config, stop: &CancellationToken) -> Result<()> {
    let (config, tls) = (&config.alerts, &config.tls);
    let log = engine.alerts().log();
    let gone = log.forget_other_targets()?;
    if gone > 0 {
        tracing::warn!(notices = gone, "notices for receivers that the settings no longer name were given up");
    }
    if config.webhooks.0.is_empty() {
        return Ok(());
    }
    let client = outbound::client(tls, config.webhook_timeout.0)?;
    for url in &config.webhooks.0 {
        let sender = Sender {
            log: Arc::clone(log),
            clock: Arc::clone(engine.clock()),
            client: client.clone(),
            target: url.target(),
            url: url.clone(),
            config: config.clone(),
        };
        let stop = stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(sender.run()).await });
    }
    tracing::info!(receivers = config.webhooks.0.len(), version = VERSION, "alerts are sent to webhooks");
    Ok(())
}

/// Sends to one receiver.
struct Sender {
    log: Arc<AlertLog>,
    clock: Arc<dyn Clock>,
    client: reqwest::Client,
    target: String,
    url: WebhookUrl,
    config: Alerts,
}

impl Sender {
    async fn run(self) {
        let mut changes = self.log.subscribe();
        loop {
            changes.borrow_and_update();
            let pause = match self.log.next_notice(&self.target) {
                None => None,
                Some(notice) => match Duration::from_micros(
                    u64::try_from(notice.next_at.saturating_sub(self.clock.now())).unwrap_or(0),
                ) {
                    Duration::ZERO => {
                        if let Err(error) = self.deliver(&notice).await {
                            tracing::warn!(%error, "what became of a notice could not be written down");
                            tokio::time::sleep(AFTER_DISK_ERROR).await;
                        }
                        continue;
                    }
                    pause => Some(pause),
                },
            };
            let due = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Tries once, and writes down what became of it.
    async fn deliver(&self, notice: &Notice) -> Result<()> {
        let attempt = notice.attempts + 1;
        let (id, receiver) = (notice.id.as_str(), &self.url);
        let Err(why) = self.post(notice, attempt).await else {
            tracing::debug!(notice = id, %receiver, attempt, "a notice was sent");
            return self.writing(notice, |log, notice| log.sent(&notice)).await;
        };
        let next_at = (attempt < self.config.webhook_attempts)
            .then(|| self.clock.now() + pause(&self.config, &notice.id, &self.target, attempt));
        match next_at {
            Some(_) => tracing::info!(notice = id, %receiver, attempt, why, "a notice was not taken; it is sent again"),
            None => tracing::warn!(notice = id, %receiver, attempt, why, "a notice was not taken and is given up"),
        }
        self.writing(notice, move |log, notice| log.not_sent(&notice, &why, next_at)).await
    }

    async fn post(&self, notice: &Notice, attempt: u32) -> Result<(), String> {
        let seconds = self.clock.now().div_euclid(1_000_000);
        let sent = self
            .client
            .post(self.url.expose())
            .header(CONTENT_TYPE, "application/json")
            .header(SIGNATURE, signature(&self.config.webhook_secret, seconds, &notice.body))
            .header(DELIVERY, &notice.id)
            .header(EVENT, notice.event.name())
            .header(ATTEMPT, attempt)
            .body(notice.body.clone())
            .send()
            .await;
        match sent {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("it was answered {}", answer.status().as_u16())),
            // Without the address: it may be a secret.
            Err(e) if e.is_timeout() => Err("it was not answered in time".to_owned()),
            Err(e) if e.is_connect() => Err("there was no connection".to_owned()),
            Err(e) => Err(e.without_url().to_string()),
        }
    }

    /// Waits for the disk on a thread for that.
    async fn writing(
        &self,
        notice: &Notice,
        work: impl FnOnce(&AlertLog, Notice) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let (log, notice) = (Arc::clone(&self.log), notice.clone());
        let done = tokio::task::spawn_blocking(move || work(&log, notice)).await;
        done.map_err(|e| Error::internal(e.to_string()))?
    }
}

/// What proves to a receiver that a body is ours and of this time.
pub fn signature(secret: &Secret, seconds: i64, body: &str) -> String {
    // A key of any length is one for HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return String::new() };
    mac.update(format!("{seconds}.{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

/// How long to wait after so many tries: twice as long each time up to the most, and between half and all of that, so
/// that many notices do not come back at once. Which part is made of the notice's name: no randomness to hand in.
fn pause(config: &Alerts, id: &str, target: &str, attempts: u32) -> Micros {
    let first = config.webhook_retry.0.as_millis();
    let most = config.webhook_max_retry.0.as_millis();
    let full = first.saturating_mul(1 << attempts.saturating_sub(1).min(40)).min(most);
    let digest = Sha256::digest(format!("{id} {target} {attempts}").as_bytes());
    let share = digest.iter().take(2).fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
    let wait = full / 2 + (full - full / 2) * share / 0xffff;
    Micros::try_from(wait.max(1)).unwrap_or(Micros::MAX / MILLISECOND) * MILLISECOND
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Period;

    #[test]
    fn a_signature_is_the_one_others_compute() {
        // python3 -c 'import hmac; print(hmac.new(b"sixteen chars ok", b"1700000000.{}", "sha256").hexdigest())'
        let secret = Secret::from("sixteen chars ok".to_owned());
        let signed = signature(&secret, 1_700_000_000, "{}");
        assert_eq!(signed, "t=1700000000,v1=a96644233c5fc686dd16de11c7b57d7e51efae1372fed071d1cf1c823a0e9280");
    }

    #[test]
    fn pauses_double_vary_and_end_growing() {
        let config = Alerts { webhook_max_retry: Period::secs(60), ..Alerts::default() };
        for attempts in 1..200 {
            let full = (1_000_000_i64 << (attempts - 1).min(30)).min(60_000_000);
            let pauses: Vec<Micros> = (0..50).map(|n| pause(&config, &format!("n{n}"), "t", attempts)).collect();
            assert!(pauses.iter().all(|p| (full / 2..=full).contains(p)), "{attempts}: {pauses:?}");
            assert!(pauses.iter().any(|p| *p < full * 6 / 10) && pauses.iter().any(|p| *p > full * 9 / 10));
        }
    }
}
