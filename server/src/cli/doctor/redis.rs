//! The Redis that several servers share: whether it answers, how fast, and whether it is set up for this.

use std::time::{Duration, Instant};

use redis::{Client, Connection, RedisResult, cmd};
use tideline_engine::clock::{Clock as _, SystemClock};

use super::Report;
use crate::config::Config;

/// Pings that are measured.
const PINGS: usize = 20;
/// The least version, for functions of its scripts.
const LEAST_VERSION: u32 = 7;
/// How far its clock may differ: limits of requests are counted by it.
const SKEW: Duration = Duration::from_secs(2);

/// Looks at it, where one is set.
pub(super) fn look(config: &Config, report: &mut Report) {
    if config.redis_url.is_empty() {
        return report.ok("redis", "none is set: live windows and limits are this server's own");
    }
    let connect = || -> RedisResult<Connection> {
        let client = Client::open(config.redis_url.expose())?;
        let connection = client.get_connection_with_timeout(config.hot.redis_connect_timeout.0)?;
        connection.set_read_timeout(Some(config.hot.redis_timeout.0.max(Duration::from_millis(100))))?;
        Ok(connection)
    };
    // Its errors name no password: the URL is not in them.
    let looked = connect().and_then(|mut connection| examine(config, &mut connection, report));
    if let Err(e) = looked {
        let what = format!("{}: {e}", config.redis_url);
        let fix = "start it, or correct redis_url (host, port, password); until then this server's own windows and limits answer";
        report.fail("redis", what, fix);
    }
}

fn examine(config: &Config, redis: &mut Connection, report: &mut Report) -> RedisResult<()> {
    let info: String = cmd("INFO").query(redis)?;
    let field = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map_or("", str::trim).to_owned()
    };
    let version = field("redis_version");
    let major = version.split('.').next().and_then(|n| n.parse::<u32>().ok()).unwrap_or(0);
    if major < LEAST_VERSION {
        report.fail("redis", format!("version {version} answers at {}", config.redis_url), "use Redis 7 or newer");
    } else {
        report.ok("redis", format!("version {version} answers at {}", config.redis_url));
    }
    let policy = field("maxmemory_policy");
    if field("maxmemory") != "0" && policy != "noeviction" {
        let what =
            format!("maxmemory-policy is {policy}: it forgets keys when it is full, and windows count too little then");
        report.warn("redis", what, "CONFIG SET maxmemory-policy noeviction");
    }
    if field("rdb_last_bgsave_status") != "ok" || field("aof_last_write_status") == "err" {
        let fix = "look at its log and disk; it refuses writes meanwhile (stop-writes-on-bgsave-error)";
        report.warn("redis", "its last save failed", fix);
    }
    let saved = if field("aof_enabled") == "1" { "append-only file" } else { "snapshots or none" };
    report.ok("redis", format!("persistence: {saved}; what it holds is made again from the log where it is lost"));
    latency(config, redis, report)?;
    let (seconds, micros): (i64, i64) = cmd("TIME").query(redis)?;
    let skew = SystemClock::new().now().abs_diff(seconds * 1_000_000 + micros);
    if u128::from(skew) > SKEW.as_micros() {
        let what = format!("its clock and this machine's differ by {} s", skew / 1_000_000);
        report.warn("redis", what, "keep both with a time server");
    }
    Ok(())
}

fn latency(config: &Config, redis: &mut Connection, report: &mut Report) -> RedisResult<()> {
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let start = Instant::now();
        cmd("PING").query::<String>(redis)?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let (median, longest) = (times[PINGS / 2], times[PINGS - 1]);
    let ms = |t: Duration| t.as_secs_f64() * 1e3;
    let what = format!("a ping takes {:.2} ms (median), {:.2} ms at most of {PINGS}", ms(median), ms(longest));
    let most = config.rate_limit.redis_timeout.0;
    if median > most / 2 {
        let what = format!("{what}; a request waits for it no longer than {:.0} ms", ms(most));
        report.warn("redis", what, "bring it nearer, or raise rate_limit.redis_timeout");
    } else {
        report.ok("redis", what);
    }
    Ok(())
}
