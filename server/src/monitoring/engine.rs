//! The engine's families: events in, log, buffer, flush, lake, compaction, queries, live windows, Redis.

use tideline_engine::engine::Status;
use tideline_engine::hot::{Degraded, ReplicaState};
use tideline_engine::query::{Class, Outcome};

use super::text::{Page, Value, labels, numbers, seconds};
use crate::app::AppState;

/// Adds them.
pub fn families(page: &mut Page, state: &AppState) {
    let status = state.engine.status();
    ingest(page, state, &status);
    log(page, state, &status);
    flush(page, state, &status);
    lake(page, state, &status);
    queries(page, state, &status);
    windows(page, state, &status);
    redis(page, state);
}

fn ingest(page: &mut Page, state: &AppState, status: &Status) {
    let ingest = state.engine.measures().ingest;
    let (mut events, mut rejected, mut bytes, mut requests) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (name, source) in ingest.sources.all() {
        let of = |outcome| labels([("source", &name), ("outcome", outcome)]);
        let codes = source.rejected.read();
        events.push((of("accepted"), Value::from(&source.accepted)));
        events.push((of("duplicate"), Value::from(&source.duplicates)));
        events.push((of("rejected"), Value::Whole(codes.values().sum())));
        rejected.extend(codes.iter().map(|(code, n)| (labels([("source", &name), ("code", code)]), Value::Whole(*n))));
        bytes.push((labels([("source", &name)]), Value::from(&source.bytes)));
        requests.push((labels([("source", &name)]), Value::from(&source.requests)));
    }
    page.counters("tideline_ingest_events_total", "Events, by source and what became of them.", events);
    page.counters("tideline_ingest_rejected_events_total", "Events kept as dead letters, by reason.", rejected);
    page.counters("tideline_ingest_bytes_total", "Bodies with events, decompressed.", bytes);
    page.counters("tideline_ingest_requests_total", "Requests that were answered with a receipt.", requests);
    page.counters(
        "tideline_ingest_refused_requests_total",
        "Requests of which nothing was stored: they could not be read, or there was no room.",
        ingest.refused.read().into_iter().map(|(code, n)| (labels([("code", code)]), Value::Whole(n))),
    );
    page.gauge("tideline_ingest_in_flight_bytes", "Bodies being worked on.", state.engine.inflight_bytes());
    let most = state.config.ingest.max_in_flight_bytes.0;
    page.gauge("tideline_ingest_in_flight_limit_bytes", "Room for them (ingest.max_in_flight_bytes).", most);
    page.gauge("tideline_seq", "Position of the last event stored.", status.seq);
    page.histogram(
        "tideline_ingest_visible_seconds",
        "From an event's arrival to its being in SQL and in live windows.",
        seconds(state.engine.measures().visible),
    );
    page.gauge("tideline_dedup_bytes", "Memory of event ids.", status.dedup_bytes);
    page.gauge("tideline_dedup_limit_bytes", "Memory for them (dedup.max_bytes).", state.config.dedup.max_bytes.0);
    page.gauge("tideline_clock_step_seconds", "How far the clock was moved.", status.clock_step_ms as f64 / 1e3);
    let letters = status.dead_letters;
    page.gauge("tideline_dead_letters", "Events that were not accepted and wait for a fix.", letters.open);
    page.gauge("tideline_dead_letters_bytes", "Size of their store.", letters.bytes);
    page.gauge(
        "tideline_dead_letters_fullness_ratio",
        "How full it is; at 1 bad events are refused.",
        letters.fullness,
    );
    page.counter("tideline_dead_letters_expired_total", "Open ones that the retention removed.", letters.expired);
    page.counter("tideline_dead_letters_replayed_events_total", "Events that replays stored.", &ingest.replayed);
}

fn log(page: &mut Page, state: &AppState, status: &Status) {
    let wal = state.engine.measures().wal;
    page.histogram("tideline_wal_sync_duration_seconds", "How long a group's sync took.", seconds(&wal.sync));
    page.histogram("tideline_wal_group_events", "Events in a group.", numbers(&wal.group_events));
    page.histogram("tideline_wal_group_requests", "Requests in a group.", numbers(&wal.group_requests));
    page.counter("tideline_wal_written_bytes_total", "Bytes written to the log.", &wal.written_bytes);
    page.gauge("tideline_wal_bytes", "Size of the write-ahead log.", status.wal_bytes);
    let most = state.config.wal.max_bytes.0;
    page.gauge("tideline_wal_limit_bytes", "Size at which ingest is refused (wal.max_bytes).", most);
    page.gauge("tideline_wal_segments", "Files of the log.", wal.segments());
    page.gauge("tideline_failed", "1 when a write did not become durable: the process stops.", status.failed.is_some());
}

fn flush(page: &mut Page, state: &AppState, status: &Status) {
    let flush = state.engine.measures().flush;
    page.gauge("tideline_buffer_rows", "Events not yet in the lake.", status.buffer_rows);
    page.gauge("tideline_buffer_bytes", "Memory of events not yet in the lake.", status.buffer_bytes);
    let most = state.config.buffer.max_bytes.0;
    page.gauge("tideline_buffer_limit_bytes", "Memory at which ingest is refused (buffer.max_bytes).", most);
    page.gauge(
        "tideline_buffer_oldest_seconds",
        "How long the oldest event in memory has waited for a flush.",
        flush.oldest().as_secs_f64(),
    );
    page.histogram("tideline_flush_duration_seconds", "How long flushes took.", seconds(&flush.took));
    page.counters(
        "tideline_flushes_total",
        "Flushes, by outcome.",
        [("ok", &flush.done), ("failed", &flush.failed)]
            .map(|(outcome, count)| (labels([("outcome", outcome)]), Value::from(count))),
    );
    page.counter("tideline_flush_rows_total", "Events moved to the lake.", &flush.rows);
    page.gauge("tideline_flush_failing", "1 while the last flush failed.", status.flush_error.is_some());
    page.gauges(
        "tideline_flush_last_success_timestamp_seconds",
        "When the last flush succeeded, in Unix time; absent before the first.",
        flush.last().map(|at| (labels([]), Value::Real(at as f64 / 1e6))),
    );
}

fn lake(page: &mut Page, state: &AppState, status: &Status) {
    page.gauge("tideline_lake_files", "Live Parquet files.", status.lake_files);
    page.gauge("tideline_lake_rows", "Events in the lake.", status.lake_rows);
    page.gauge("tideline_lake_bytes", "Size of the live Parquet files.", status.lake_bytes);
    page.gauge("tideline_lake_version", "Version of the Delta table.", status.lake_version.max(0) as u64);
    let lag = status.seq.saturating_sub(status.lake_seq);
    page.gauge("tideline_lake_lag_events", "Events that are stored and not in the lake yet.", lag);
    let compaction = state.engine.measures().compaction;
    page.counters(
        "tideline_compactions_total",
        "Merges of small files into one, by outcome.",
        [("ok", &compaction.merged), ("dropped", &compaction.dropped), ("failed", &compaction.failed)]
            .map(|(outcome, count)| (labels([("outcome", outcome)]), Value::from(count))),
    );
    page.histogram("tideline_compaction_duration_seconds", "How long a merge took.", seconds(&compaction.took));
    page.counter("tideline_compaction_files_total", "Files that merges replaced.", &compaction.files);
    page.counter("tideline_compaction_read_bytes_total", "Their size.", &compaction.read_bytes);
    page.counter("tideline_compaction_written_bytes_total", "Size of what replaced them.", &compaction.written_bytes);
}

fn queries(page: &mut Page, state: &AppState, status: &Status) {
    let (measures, usage, settings) = (state.engine.measures().query, state.engine.query_usage(), &state.config.query);
    let classes = || Class::ALL.into_iter();
    page.counters(
        "tideline_queries_total",
        "Queries that ended, by class (sql, metric, the engine's own) and outcome.",
        classes().flat_map(|class| {
            Outcome::ALL.map(|outcome| {
                let of = labels([("class", class.name()), ("outcome", outcome.name())]);
                (of, Value::Whole(measures.ended(class, outcome)))
            })
        }),
    );
    page.histograms(
        "tideline_query_duration_seconds",
        "From the start of planning to the last row, of queries that were let in.",
        classes().map(|class| (labels([("class", class.name())]), seconds(measures.took(class)))),
    );
    page.counter("tideline_query_read_rows_total", "Events read by queries.", &measures.read_rows);
    page.counter("tideline_query_read_bytes_total", "Bytes queries read from files.", &measures.read_bytes);
    page.gauge("tideline_queries", "Queries running now.", status.queries);
    page.gauge("tideline_queries_limit", "Clients' queries that may run at once.", settings.max_concurrent);
    page.gauge("tideline_queries_waiting", "Queries waiting for their turn.", usage.waiting);
    page.gauge("tideline_query_memory_bytes", "Memory queries have reserved.", usage.memory_bytes);
    page.gauge("tideline_query_memory_limit_bytes", "What they may reserve.", settings.memory_bytes.0);
    page.gauge("tideline_query_spill_bytes", "Disk taken by what queries spilled.", usage.spill_bytes);
    page.gauge("tideline_query_spill_limit_bytes", "Disk they may take.", settings.spill_bytes.0);
    page.gauges(
        "tideline_derived_bytes",
        "Memory of what is kept to answer sooner: orders, and partial aggregates of files.",
        [("orders", usage.book_bytes), ("partial_aggregates", usage.partial_bytes)]
            .map(|(what, bytes)| (labels([("kind", what)]), Value::from(bytes))),
    );
    page.gauge("tideline_derived_limit_bytes", "Memory for it (query.derived_bytes).", settings.derived_bytes.0);
    let cache = state.engine.metrics().cache_stats();
    page.gauge("tideline_metric_cache_entries", "Answers of metrics that are kept.", cache.entries);
    page.gauge("tideline_metric_cache_bytes", "Their memory.", cache.bytes);
    page.counter("tideline_metric_cache_hits_total", "Requests answered from them.", cache.hits);
    page.counter("tideline_metric_cache_misses_total", "Answers that were computed.", cache.computed);
}

fn windows(page: &mut Page, state: &AppState, status: &Status) {
    let windows = state.engine.windows();
    let (memory, answering) = (windows.memory(), windows.answering());
    let sizes = memory.sizes();
    page.gauges(
        "tideline_hot_ids",
        "Users and sessions told apart in live windows.",
        [("user", sizes.users), ("session", sizes.sessions)]
            .map(|(kind, n)| (labels([("kind", kind)]), Value::from(n))),
    );
    page.gauge("tideline_hot_ids_limit", "How many of each are (hot.max_ids).", state.config.hot.max_ids);
    page.gauge("tideline_hot_bytes", "Memory of live windows, about.", memory.bytes());
    page.gauge("tideline_hot_buckets", "Minutes with an event in live windows.", sizes.minutes);
    let applied = windows.applied().0;
    page.gauge("tideline_applied_seq", "Position up to which live windows count.", applied);
    page.gauge(
        "tideline_hot_lag_events",
        "Events stored that they do not count yet.",
        status.seq.saturating_sub(applied),
    );
    let why = match answering.degraded {
        None => "whole",
        Some(Degraded::Filling) => "filling",
        Some(Degraded::Alone(_)) => "alone",
        Some(Degraded::Lacking) => "lacking",
    };
    page.gauges(
        "tideline_hot_state",
        "Which state live windows are in: whole, filling (after a start), alone (without the Redis they share), lacking (another node's share).",
        ["whole", "filling", "alone", "lacking"].map(|state| (labels([("state", state)]), Value::from(state == why))),
    );
}

const STATES: [(&str, ReplicaState); 5] = [
    ("joining", ReplicaState::Joining),
    ("live", ReplicaState::Live),
    ("catching_up", ReplicaState::CatchingUp),
    ("rebuilding", ReplicaState::Rebuilding),
    ("away", ReplicaState::Away),
];

/// Absent without a Redis.
fn redis(page: &mut Page, state: &AppState) {
    let windows = state.engine.windows();
    let (Some(replica), Some(calls)) = (windows.replica(), windows.redis()) else { return };
    page.gauge("tideline_redis_up", "1 while Redis answers for live windows.", replica.state == ReplicaState::Live);
    page.gauges(
        "tideline_redis_state",
        "Which state the shared windows are in; away means that the circuit is open.",
        STATES.map(|(name, state)| (labels([("state", name)]), Value::from(state == replica.state))),
    );
    page.gauge("tideline_redis_lag_events", "Events that do not count in Redis yet.", replica.lag);
    page.counter(
        "tideline_redis_rebuilds_total",
        "How often this server's share was put there anew.",
        replica.rebuilds,
    );
    page.gauge(
        "tideline_redis_evicts",
        "1 when Redis may forget keys: windows count too little then.",
        replica.evicts.is_some(),
    );
    page.histogram("tideline_redis_call_duration_seconds", "How long calls took.", seconds(&calls.took));
    page.counters(
        "tideline_redis_call_errors_total",
        "Calls that failed.",
        [("timeout", &calls.timeouts), ("error", &calls.errors)]
            .map(|(kind, count)| (labels([("kind", kind)]), Value::from(count))),
    );
}
