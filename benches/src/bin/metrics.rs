//! How long fixed metrics take over 30 days of made-up events, the newest of them still in the buffer, while events keep
//! coming: with derived tables and partial aggregates kept in memory, and without.
//!
//! Before each request some events come in, so that no answer is one that was kept. The load is kept in `--data`; a second
//! run with the same arguments finds it there.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use tideline_benches::Latencies;
use tideline_engine::clock::{Clock, DAY, ManualClock};
use tideline_engine::decode::InputFormat;
use tideline_engine::engine::{Ack, Engine, EngineConfig};
use tideline_engine::fs::{Fs, RealFs};
use tideline_engine::query::encode::Format;
use tideline_engine::query::time_zone;
use tideline_server::traffic::{DEFAULT_START, Generator, GeneratorConfig};

/// What is asked for unless `--only` says otherwise: metric and parameters.
const ASKED: [(&str, &[(&str, &str)]); 19] = [
    ("sales/daily", &[]),
    ("sales/daily", &[("country", "DE")]),
    ("sales/hourly", &[("start", "-6d")]),
    ("sales/order-date", &[]),
    ("sales/ledger", &[]),
    ("sales/hours-of-day", &[]),
    ("sales/top-products", &[]),
    ("sales/by-category", &[]),
    ("sales/summary", &[]),
    ("sales/by", &[("by", "channel")]),
    ("customers/top", &[]),
    ("quality/duplicates", &[]),
    ("traffic/daily", &[]),
    ("traffic/daily", &[("device", "mobile")]),
    ("traffic/events", &[]),
    ("traffic/pages", &[]),
    ("products/performance", &[]),
    ("quality/freshness", &[]),
    ("conversion/daily", &[]),
];

/// SQL of the same kinds, for what no metric asks alone.
const QUERIES: [(&str, &str); 5] = [
    (
        "events by hour and type",
        "SELECT date_trunc('hour', event_ts) AS h, event_type, count(*) AS n FROM events WHERE bot IS NOT TRUE GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    (
        "page views by day and country",
        "SELECT shop_day(event_ts) AS d, country, count(*) AS n FROM events WHERE event_type = 'page_view' GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    (
        "page views by day and device",
        "SELECT shop_day(event_ts) AS d, mobile, count(*) AS n FROM events WHERE event_type = 'page_view' GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    (
        "product views by product, top 20",
        "SELECT product_id, count(*) AS n FROM events WHERE event_type = 'product_view' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20",
    ),
    (
        "orders and value by day and channel",
        "SELECT shop_day(ordered_at) AS d, channel, count(*) AS n, sum(value) AS v FROM orders WHERE NOT cancelled GROUP BY 1, 2 ORDER BY 1, 2",
    ),
];

/// Loads made-up events into an engine and asks metrics of it.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many events, over 30 days.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Of these, how many stay in the buffer.
    #[arg(long, default_value_t = 20_000)]
    buffered: u64,
    /// The folder for the data.
    #[arg(long, default_value = "benches/data/metrics")]
    data: PathBuf,
    /// Requests of each kind that are measured, after three that are not.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Events that come in before each request.
    #[arg(long, default_value_t = 100)]
    live: usize,
    /// The shop's time zone.
    #[arg(long, default_value = "UTC")]
    zone: String,
    /// Only what has this in its name.
    #[arg(long)]
    only: Option<String>,
    /// Do not measure without what is kept.
    #[arg(long)]
    no_off: bool,
    /// Print the plans of the SQL queries.
    #[arg(long)]
    explain: bool,
}

struct Shop {
    engine: Arc<Engine>,
    clock: Arc<ManualClock>,
    generator: Generator,
}

fn generator(arguments: &Arguments) -> Generator {
    // What comes in while measuring continues the same stream.
    let days = 31;
    Generator::new(GeneratorConfig {
        events: arguments.events * days / 30,
        span: Duration::from_secs(days * 86_400),
        ..GeneratorConfig::default()
    })
}

impl Shop {
    async fn open(arguments: &Arguments, derived_bytes: Option<usize>) -> Result<Self, Box<dyn Error>> {
        let mut config = EngineConfig::new(arguments.data.join(arguments.events.to_string()));
        config.query.shop.time_zone = time_zone(&arguments.zone).ok_or("no such time zone")?;
        if let Some(bytes) = derived_bytes {
            config.query.derived_bytes = bytes;
        }
        config.query.memory_bytes = 1 << 30;
        config.flush.age = Duration::from_secs(86_400);
        config.maintain.every = Duration::ZERO;
        config.wal.max_bytes = 4 << 30;
        let clock = Arc::new(ManualClock::new(DEFAULT_START));
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let engine = Engine::open(config, fs, Arc::clone(&clock) as Arc<dyn Clock>).await?;
        Ok(Self { engine, clock, generator: generator(arguments) })
    }

    async fn feed(&mut self, events: usize) -> Result<(), Box<dyn Error>> {
        let mut lines = Vec::new();
        let mut last = None;
        for _ in 0..events {
            last = self.generator.next_line(&mut lines).or(last);
        }
        if let Some(last) = last {
            self.clock.set(last);
            self.engine.ingest(Bytes::from(lines), InputFormat::Json, "bench", Ack::Durable).await?;
        }
        Ok(())
    }

    /// Loads what is not there yet, and skips what is.
    async fn load(&mut self, arguments: &Arguments) -> Result<(), Box<dyn Error>> {
        let stored = self.engine.status().seq;
        let mut skipped = Vec::new();
        let mut last = None;
        for _ in 0..stored {
            skipped.clear();
            last = self.generator.next_line(&mut skipped).or(last);
        }
        if let Some(last) = last {
            self.clock.set(last);
        }
        let (mut at, mut since_flush) = (stored, 0);
        while at < arguments.events {
            let n = 10_000.min(arguments.events - at);
            self.feed(usize::try_from(n)?).await?;
            at += n;
            since_flush += n;
            let compact = arguments.events.saturating_sub(arguments.buffered);
            if at < compact && since_flush >= 400_000 {
                self.engine.flush().await?;
                since_flush = 0;
            }
            if at >= compact && at - n < compact {
                self.engine.flush().await?;
                self.engine.compact().await?;
            }
        }
        Ok(())
    }

    async fn metric(&self, name: &str, params: &[(&str, &str)]) -> Result<usize, Box<dyn Error>> {
        let params: Vec<_> = params.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let asked = self.engine.metrics().ask(name, &params).await?;
        let answer = self.engine.metrics().answer(&asked).await?;
        answer.encode(&asked.metric, Format::Json)?;
        Ok(answer.rows)
    }

    async fn sql(&self, text: &str) -> Result<Vec<arrow::record_batch::RecordBatch>, Box<dyn Error>> {
        use futures::TryStreamExt;
        let output = self.engine.query(tideline_engine::query::QueryRequest::new(text)).await?;
        Ok(output.stream.try_collect().await?)
    }
}

type Measured = Vec<(String, usize, Latencies, f64)>;

async fn measure(shop: &mut Shop, arguments: &Arguments) -> Result<Measured, Box<dyn Error>> {
    let wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| name.contains(only));
    let mut measured = Vec::new();
    let asked = ASKED.iter().map(|(name, params)| {
        let shown = params.iter().map(|(n, v)| format!(" {n}={v}")).collect::<String>();
        (format!("{name}{shown}"), Some((*name, *params)), None)
    });
    let queries = QUERIES.iter().map(|(name, sql)| ((*name).to_owned(), None, Some(*sql)));
    for (name, metric, sql) in asked.chain(queries).filter(|(name, ..)| wanted(name)) {
        let (mut took, mut rows, mut first) = (Vec::new(), 0, 0.0);
        for round in 0..arguments.rounds + 3 {
            shop.feed(arguments.live).await?;
            let begun = Instant::now();
            rows = match (metric, sql) {
                (Some((name, params)), _) => shop.metric(name, params).await?,
                (_, Some(sql)) => shop.sql(sql).await?.iter().map(|b| b.num_rows()).sum(),
                _ => 0,
            };
            let elapsed = begun.elapsed();
            if round == 0 {
                first = elapsed.as_secs_f64() * 1e3;
            }
            if round >= 3 {
                took.push(elapsed);
            }
        }
        if let (true, Some(sql)) = (arguments.explain, sql) {
            for batch in shop.sql(&format!("EXPLAIN {sql}")).await? {
                println!("{}", arrow::util::pretty::pretty_format_batches(&[batch])?);
            }
        }
        measured.push((name, rows, Latencies::of(took), first));
    }
    Ok(measured)
}

async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut shop = Shop::open(arguments, None).await?;
    let begun = Instant::now();
    shop.load(arguments).await?;
    let status = shop.engine.status();
    let range = (shop.clock.now() - DEFAULT_START) as f64 / DAY as f64;
    println!(
        "{} events over {range:.1} days in {} files, {} buffered; loaded in {:.0} s; {} between requests; zone {}",
        status.seq,
        status.lake_files,
        status.buffer_rows,
        begun.elapsed().as_secs_f64(),
        arguments.live,
        arguments.zone
    );
    let on = measure(&mut shop, arguments).await?;
    shop.engine.close().await?;
    drop(shop);
    let off = match arguments.no_off {
        true => Vec::new(),
        false => {
            let mut shop = Shop::open(arguments, Some(0)).await?;
            shop.load(arguments).await?;
            let fewer =
                Arguments { rounds: arguments.rounds.min(5), only: arguments.only.clone(), ..Arguments::parse() };
            let off = measure(&mut shop, &fewer).await?;
            shop.engine.close().await?;
            off
        }
    };
    println!("\n| asked | rows | first ms | p50 ms | p90 ms | p50 ms without | ratio |\n|---|---|---|---|---|---|---|");
    for (i, (name, rows, took, first)) in on.iter().enumerate() {
        let without = off.get(i).map_or(f64::NAN, |(_, _, took, _)| took.p50_ms);
        let ratio = without / took.p50_ms;
        println!(
            "| {name} | {rows} | {first:.1} | {:.1} | {:.1} | {without:.1} | {ratio:.1} |",
            took.p50_ms, took.p90_ms
        );
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&arguments))
}
