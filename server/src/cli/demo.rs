//! `tideline demo`: a server with made-up shop traffic, something planted in it to be found, and what to try on it.

mod planted;
mod redis;

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use parking_lot::Mutex;
use tideline_engine::clock::{Clock as _, Micros, SystemClock};
use tideline_engine::error::{Error, Result};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::history;
use super::load::grouped;
use super::load::send::{ServerSink, Tally};
use super::serve::{Embedding, serve};
use super::session::{Ask, Session};
use super::sql::table::Table;
use super::{SettingArgs, print_error};
use crate::config::load::key_from_environment;
use crate::config::{Origin, Tls};
use crate::telemetry;
use crate::traffic::{MARK, Scenario, Simulator};
use redis::Redis;

/// How often live traffic is sent.
const TICK: Duration = Duration::from_millis(200);
/// How long before the start traffic is as dense as it then goes on: what live windows and the last hour's charts show.
const DENSE: Micros = 70 * 60_000_000;
/// One malformed event for so many others of the history, and for so many ticks: rejects have a page too.
const JUNK_EVERY_BATCHES: u64 = 2;
const JUNK_EVERY_TICKS: u64 = 60;

/// What to ask first: shown as commands, and with --once also answered.
pub const QUERIES: [(&str, &str); 3] = [
    (
        "What happens in the shop",
        "SELECT event_type, count(*) AS events, count(DISTINCT user_id) AS users FROM events GROUP BY 1 ORDER BY 2 DESC",
    ),
    (
        "Revenue a day",
        "SELECT event_date, count(DISTINCT order_id) AS orders, sum(revenue) AS revenue FROM events \
         WHERE event_type = 'purchase' GROUP BY 1 ORDER BY 1 DESC",
    ),
    (
        "The most viewed pages of the last 15 minutes",
        "SELECT page, count(*) AS views FROM events WHERE event_type IN ('page_view', 'product_view') \
         AND event_ts > now() - INTERVAL '15 minutes' GROUP BY 1 ORDER BY 2 DESC LIMIT 10",
    ),
];

/// What `tideline demo --help` begins with.
pub const ABOUT: &str = "Starts a server on a data folder of its own, fills it with some weeks of made-up shop traffic, keeps \
    more of it coming, and prints what to open, what to try, and what was planted in it to be found: a rush, a checkout \
    that stalls, slow pages. Nothing else is needed.\n\n\
    It is demo data: the same for each --seed except for time, of no real shop, and marked: every id begins with `demo-`. \
    Started again, it goes on with the same folder.";

/// Arguments of `tideline demo`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        tideline demo\n  \
        tideline demo --days 60 --events 2000000 --rate 500     a busier shop\n  \
        tideline demo --redis                                   live windows in a Redis of its own\n  \
        tideline demo --data-dir /tmp/demo --listen 127.0.0.1:9000\n  \
        tideline demo --once                                    history only: load, answer three queries, stop\n\n\
        Stop it with Ctrl-C. `rm -r .demo-data` forgets everything.")]
pub struct DemoArgs {
    /// Folder for the demo's data
    #[arg(long, value_name = "DIR", default_value = ".demo-data")]
    data_dir: PathBuf,
    /// Address and port to listen on [default: 127.0.0.1:8080, or a free port where that is taken]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Days of history
    #[arg(long, value_name = "N", default_value_t = 28, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
    /// Events of history, about; the last hour before the start has as many as --rate makes
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    events: u64,
    /// Live events a second; 0 is none
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    rate: u32,
    /// Which made-up traffic
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Keep live windows and limits in a redis-server, which is started for the demo and ends with it
    #[arg(long)]
    redis: bool,
    /// Load the history, answer the queries, stop
    #[arg(long)]
    once: bool,
    /// Stop after that many seconds of live traffic
    #[arg(long, value_name = "SECONDS", conflicts_with = "once")]
    exit_after: Option<u64>,
}

/// Runs the demo until a signal, or as its arguments say.
pub fn run(args: DemoArgs) -> Result<ExitCode> {
    let settings =
        SettingArgs { listen: args.listen.clone(), data_dir: Some(args.data_dir.clone()), ..SettingArgs::default() };
    let mut loaded = settings.load()?;
    if *loaded.origin("listen") == Origin::Default && TcpListener::bind(&loaded.config.listen).is_err() {
        // Somebody has the usual port, and nobody asked for that very one.
        "127.0.0.1:0".clone_into(&mut loaded.config.listen);
    }
    if *loaded.origin("shop.name") == Origin::Default {
        "Demo shop, made-up data".clone_into(&mut loaded.config.shop.name);
    }
    if *loaded.origin("log.level") == Origin::Default {
        // What the demo prints is for reading; the log is for what goes wrong.
        "warn".clone_into(&mut loaded.config.log.level);
    }
    telemetry::start(&loaded.config.log)?;
    let redis = args.redis.then(Redis::start).transpose()?;
    if let Some(redis) = &redis {
        loaded.config.redis_url = redis.url().to_owned().into();
    }
    let stop = CancellationToken::new();
    let failure: Arc<Mutex<Option<Error>>> = Arc::default();
    let ready = {
        let (stop, failure) = (stop.clone(), Arc::clone(&failure));
        move |address: SocketAddr| {
            std::thread::spawn(move || {
                if let Err(error) = Demo::new(&args, address, &stop).and_then(|demo| demo.play()) {
                    *failure.lock() = Some(error);
                }
                stop.cancel();
            });
        }
    };
    // It speaks to itself, on this machine only.
    loaded.config.tls = Tls::default();
    loaded.config.postgres.require_tls = false;
    let code = serve(loaded.config, Embedding { ready: Some(Box::new(ready)), stop: stop.clone() })?;
    stop.cancel();
    match failure.lock().take() {
        Some(error) => {
            print_error(&error);
            Ok(ExitCode::FAILURE)
        }
        None => Ok(code),
    }
}

struct Demo<'a> {
    args: &'a DemoArgs,
    sink: ServerSink,
    session: Session,
    clock: SystemClock,
    stop: &'a CancellationToken,
    folder: String,
}

impl<'a> Demo<'a> {
    fn new(args: &'a DemoArgs, address: SocketAddr, stop: &'a CancellationToken) -> Result<Self> {
        let client = Client::new(&format!("http://{address}"), key_from_environment())?;
        Ok(Self {
            args,
            session: Session::Server(client.clone()),
            sink: ServerSink { client, compress: false },
            clock: SystemClock::new(),
            stop,
            folder: args.data_dir.display().to_string(),
        })
    }

    fn play(&self) -> Result<()> {
        let mut out = std::io::stdout();
        writeln!(out, "Tideline demo: the traffic of a made-up shop, in {}", self.folder)?;
        writeln!(out, "DEMO DATA, of no real shop or person. Every id begins with `{MARK}`, and SQL can tell:")?;
        writeln!(out, "  event_id LIKE '{MARK}%'\n")?;
        let there = self.count()?;
        let now = self.clock.now();
        let mut simulator = if there == 0 {
            let started = Instant::now();
            let (simulator, sent) = self.history(now)?;
            let (events, days, seconds) = (grouped(sent.accepted), self.args.days, started.elapsed().as_secs_f64());
            writeln!(out, "Loaded {events} events of the last {days} days in {seconds:.1} s.")?;
            if self.args.rate > 0 && !self.args.once {
                writeln!(out, "Days before today are thinner than what comes live, so that they load fast.")?;
            }
            simulator
        } else {
            writeln!(out, "Going on with the {} events that are there.", grouped(there))?;
            let mut scenario = Scenario::live(self.args.seed, now, f64::from(self.args.rate.max(1)));
            scenario.incidents = planted::live(now);
            Simulator::new(scenario)
        };
        writeln!(out)?;
        if there == 0 {
            planted::tell(&mut out, "Planted in the history, to be found", &planted::history(now, self.args.days))?;
        }
        if self.args.rate > 0 && !self.args.once {
            let title = format!("Planted in what comes (and again every {} minutes)", planted::EVERY_MINUTES);
            planted::tell(&mut out, &title, &planted::live(now)[..planted::EACH_TIME])?;
        }
        self.announce()?;
        if self.args.once {
            return self.answer();
        }
        self.live(&mut simulator)
    }

    fn count(&self) -> Result<u64> {
        let mut out = Vec::new();
        self.session.write(
            &Ask::new("SELECT count(*) FROM events"),
            tideline_engine::query::encode::Format::Csv,
            &mut out,
        )?;
        let text = String::from_utf8_lossy(&out);
        Ok(text.lines().nth(1).and_then(|n| n.trim().parse().ok()).unwrap_or(0))
    }

    /// The shop, after its history up to `now` was sent.
    fn history(&self, now: Micros) -> Result<(Simulator, Tally)> {
        let days = self.args.days;
        let (from, span) = history::span(now, days);
        let mut scenario = Scenario::past(self.args.seed, from, span, self.args.events);
        scenario.incidents = planted::history(now, days);
        scenario.incidents.extend(planted::live(now));
        let mut simulator = Simulator::new(scenario);
        let live = self.args.rate > 0 && !self.args.once;
        let mut dense = false;
        let mut batches = 0;
        let sent = history::send(&self.sink, self.stop, |max, body| {
            let mut events = if dense || !live { 0 } else { simulator.due(now - DENSE, max, body) };
            if events == 0 {
                if live && !dense {
                    dense = true;
                    simulator.pace(f64::from(self.args.rate));
                    simulator.quick_refunds();
                }
                events = simulator.due(now, max, body);
            }
            batches += 1;
            if events > 0 && batches % JUNK_EVERY_BATCHES == 0 {
                simulator.malformed(now, body);
                events += 1;
            }
            events
        })?;
        Ok((simulator, sent))
    }

    fn announce(&self) -> Result<()> {
        let url = self.sink.client.url();
        let mut out = std::io::stdout();
        writeln!(out, "Open:")?;
        writeln!(out, "  {url}/            what this server answers")?;
        writeln!(out, "  {url}/health      how it is")?;
        writeln!(out, "  {}/lake{}a Delta table: DuckDB, polars, pandas, Spark open it", self.folder, " ".repeat(11))?;
        writeln!(out, "\nSend an event:")?;
        writeln!(
            out,
            "  curl {url}/events -H 'content-type: application/json' -d '{{\"event_type\":\"page_view\",\
             \"event_ts\":\"'$(date -u +%FT%TZ)'\",\"user_id\":\"you\",\"session_id\":\"s1\",\"page\":\"/hello\"}}'"
        )?;
        writeln!(out, "\nAsk SQL (JSON; /sql.csv, /sql.parquet and others too):")?;
        for (title, sql) in QUERIES {
            writeln!(out, "  # {title}\n  curl -G {url}/sql --data-urlencode \"q={sql}\"")?;
        }
        let program = std::env::args().next().unwrap_or_else(|| "tideline".to_owned());
        writeln!(out, "\nOr in a conversation: {program} sql --url {url}")?;
        if !self.args.once {
            let rate = self.args.rate;
            writeln!(out, "\nAbout {rate} made-up events a second keep coming, marked as demo data. Ctrl-C stops.")?;
        }
        out.flush()?;
        Ok(())
    }

    fn answer(&self) -> Result<()> {
        let mut out = std::io::stdout();
        for (title, sql) in QUERIES {
            let rows = self.session.rows(&Ask { limit: Some(10), ..Ask::new(sql) })?;
            let mut table = Table::of_schema(&rows.schema);
            for batch in rows.batches {
                table.push(&batch?)?;
            }
            writeln!(out, "\n{title}")?;
            table.write(&mut out, false)?;
        }
        Ok(())
    }

    fn live(&self, simulator: &mut Simulator) -> Result<()> {
        let end = self.args.exit_after.map(|s| Instant::now() + Duration::from_secs(s));
        let mut ticks = 0;
        while !self.stop.is_cancelled() && end.is_none_or(|end| Instant::now() < end) {
            std::thread::sleep(TICK);
            if self.args.rate == 0 {
                continue;
            }
            ticks += 1;
            let now = self.clock.now();
            let mut junk = ticks % JUNK_EVERY_TICKS == 0;
            history::send(&self.sink, self.stop, |max, body| {
                let events = simulator.due(now, max, body);
                if !std::mem::take(&mut junk) {
                    return events;
                }
                simulator.malformed(now, body);
                events + 1
            })?;
        }
        Ok(())
    }
}
