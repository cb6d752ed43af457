//! What the live windows in memory cost: time for each event, memory for each user and session, time for each answer.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use clap::Parser;
use futures::executor::block_on;
use tideline_benches::Latencies;
use tideline_engine::clock::Micros;
use tideline_engine::clock::{Clock, ManualClock};
use tideline_engine::decode::{DecodeContext, Deriver, InputFormat, decode};
use tideline_engine::event::{NodeId, Seq, client_schema};
use tideline_engine::hot::{
    Board, HotConfig, HotWindow, Ids, MINUTE, MemoryWindows, NodeWindows, RedisConfig, RedisWindows, minute_of,
};
use tideline_server::traffic::{DEFAULT_START, Generator, GeneratorConfig};

/// Feeds made-up events of one hour to the live windows.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many events.
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// Events in a batch.
    #[arg(long, default_value_t = 500)]
    batch: usize,
    /// How many different users there are.
    #[arg(long, default_value_t = 500_000)]
    users: u32,
    /// Questions of each kind.
    #[arg(long, default_value_t = 200)]
    questions: usize,
    /// A Redis, which is emptied, to be filled with everything afterwards.
    #[arg(long)]
    redis_url: Option<String>,
}

/// Resident memory of this process, in bytes (Linux).
fn resident() -> Result<usize, Box<dyn Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = statm.split_whitespace().nth(1).ok_or("statm has no second field")?.parse()?;
    Ok(pages * 4_096)
}

fn with_seq(batch: &RecordBatch, first: u64) -> Result<RecordBatch, Box<dyn Error>> {
    let mut fields: Vec<Field> = client_schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.push(Field::new("seq", DataType::Int64, false));
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    let first = i64::try_from(first)?;
    columns.push(Arc::new(Int64Array::from_iter_values(first..first + batch.num_rows() as i64)));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut generator = Generator::new(GeneratorConfig {
        events: arguments.events,
        users: arguments.users,
        span: Duration::from_secs(58 * 60),
        daily_rhythm: false,
        ..GeneratorConfig::default()
    });
    let clock = Arc::new(ManualClock::new(DEFAULT_START));
    let windows =
        NodeWindows::new(HotConfig::default(), Arc::clone(&clock) as Arc<dyn Clock>, &NodeId::random(), Seq::ZERO)?;
    let deriver = Arc::new(Deriver::default());
    let before = resident()?;
    let (mut seq, mut counting, mut lines) = (0_u64, Duration::ZERO, Vec::new());
    loop {
        lines.clear();
        let mut last = None;
        for _ in 0..arguments.batch {
            let Some(time) = generator.next_line(&mut lines) else { break };
            last = Some(time);
        }
        let Some(last) = last else { break };
        clock.set(last);
        let context = DecodeContext::new(last, Arc::clone(&deriver));
        let decoded = decode(&Bytes::copy_from_slice(&lines), InputFormat::Json, &context)?;
        let rows = with_seq(&decoded.batch, seq + 1)?;
        let to = seq + rows.num_rows() as u64;
        let begun = Instant::now();
        windows.publish(&rows, Seq(seq), Seq(to), &[(begun, rows.num_rows())])?;
        counting += begun.elapsed();
        seq = to;
    }
    let memory = windows.memory();
    let grown = resident()?.saturating_sub(before);
    let now = clock.now();
    let hour = now - 60 * MINUTE;
    let users = block_on(memory.active(Ids::Users, hour))?.count;
    let sessions = block_on(memory.active(Ids::Sessions, hour))?.count;
    println!("{seq} events of {users} users in {sessions} sessions");
    println!("counting: {:.0} ns an event", counting.as_nanos() as f64 / seq as f64);
    println!("memory: {} MiB grown, {} MiB by its own account", grown >> 20, memory.bytes() >> 20);
    let minute = minute_of(now);
    let ask = |what: &str, question: &dyn Fn() -> Result<(), tideline_engine::error::Error>| {
        let mut took = Vec::new();
        for _ in 0..arguments.questions {
            let begun = Instant::now();
            question()?;
            took.push(begun.elapsed());
        }
        let took = Latencies::of(took);
        println!("{what}: p50 {:.3} ms, p99 {:.3} ms", took.p50_ms, took.p99_ms);
        Ok::<_, Box<dyn Error>>(())
    };
    ask("active users, 5 minutes", &|| block_on(memory.active(Ids::Users, now - 5 * MINUTE)).map(drop))?;
    ask("KPIs, 60 minutes", &|| block_on(memory.kpis(minute - 59, minute + 1, now)).map(drop))?;
    ask("top 5 pages, 15 minutes", &|| block_on(memory.top(Board::Pages, minute - 14, minute + 1, 5)).map(drop))?;
    ask("funnel, 60 minutes", &|| block_on(memory.funnel(hour)).map(drop))?;
    ask("100 latest users", &|| block_on(memory.active_ids(Ids::Users, hour, 100)).map(drop))?;
    let begun = Instant::now();
    let entries = memory.share().entries();
    println!("a copy of everything, {entries} entries: {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
    if let Some(url) = &arguments.redis_url {
        fill_redis(url, memory, now)?;
    }
    Ok(())
}

/// Puts everything into a Redis, as after it has lost its data.
fn fill_redis(url: &str, memory: &MemoryWindows, now: Micros) -> Result<(), Box<dyn Error>> {
    let redis = RedisWindows::new(HotConfig::default(), &RedisConfig::new(url), &NodeId::random())?;
    let share = memory.share();
    let ids = share.users.len() + share.sessions.len();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let begun = Instant::now();
    runtime.block_on(redis.replace(&share, now))?;
    let took = begun.elapsed().as_secs_f64();
    println!("Redis filled with {ids} ids in {took:.1} s: {:.0} ids/s", ids as f64 / took);
    let sessions = runtime.block_on(redis.active(Ids::Sessions, now - 60 * MINUTE))?;
    println!("sessions of the last hour there: {}, exact: {}", sessions.count, sessions.exact);
    Ok(())
}
