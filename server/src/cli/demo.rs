//! `tideline demo`: a server with made-up shop traffic, and what to try on it.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use parking_lot::Mutex;
use tideline_engine::clock::{Clock as _, DAY, SystemClock};
use tideline_engine::error::{Error, Result};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::load::grouped;
use super::load::read::{Batch, Body};
use super::load::send::{Counts, ServerSink, send_all};
use super::serve::{Embedding, serve};
use super::session::{Ask, Session};
use super::sql::table::Table;
use super::{SettingArgs, print_error};
use crate::config::Origin;
use crate::config::load::key_from_environment;
use crate::telemetry;
use crate::traffic::{Generator, GeneratorConfig};

/// Events in one request of the history.
const BATCH_EVENTS: usize = 5_000;
/// How often live traffic is sent.
const TICK: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(60);

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
pub const ABOUT: &str = "Starts a server on a data folder of its own, fills it with a few days of made-up shop traffic, keeps \
    more of it coming, and prints what to open and what to try. Nothing else is needed.\n\n\
    It is demo data: deterministic, and of no real shop. Started again, it goes on with the same folder.";

/// Arguments of `tideline demo`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        tideline demo\n  \
        tideline demo --days 30 --events 2000000 --rate 500     a busier shop\n  \
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
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
    /// Events of history, about
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    events: u64,
    /// Live events a second; 0 is none
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    rate: u32,
    /// Which made-up traffic
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
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
        let there = self.count()?;
        if there == 0 {
            let started = Instant::now();
            let counts = self.history()?;
            let (events, days, seconds) = (grouped(counts.accepted), self.args.days, started.elapsed().as_secs_f64());
            writeln!(out, "Loaded {events} events of the last {days} days in {seconds:.1} s.\n")?;
        } else {
            writeln!(out, "Going on with the {} events that are there.\n", grouped(there))?;
        }
        self.announce()?;
        if self.args.once {
            return self.answer();
        }
        self.live()
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

    fn history(&self) -> Result<Counts> {
        let now = self.clock.now();
        let days = u64::from(self.args.days);
        // One day more than is sent: the stream ends thin, and the last minutes are what a demo is asked about.
        let mut generator = Generator::new(GeneratorConfig {
            seed: self.args.seed,
            start: now - i64::from(self.args.days) * DAY,
            span: Duration::from_secs((days + 1) * 86_400),
            events: self.args.events.saturating_mul(days + 1) / days,
            users: 20_000,
            products: 1_000,
            daily_rhythm: true,
        });
        let (tally, failure) = send_all(&self.sink, 2, PATIENCE, &|_| {}, |emit| {
            while let Some(batch) = next_batch(&mut generator, now) {
                if self.stop.is_cancelled() {
                    break;
                }
                emit(batch)?;
            }
            Ok(0)
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(Counts { accepted: tally.accepted, ..Counts::default() }),
        }
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
            writeln!(out, "\nAbout {rate} made-up events a second keep coming. Ctrl-C stops.")?;
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

    fn live(&self) -> Result<()> {
        let end = self.args.exit_after.map(|s| Instant::now() + Duration::from_secs(s));
        let started = self.clock.now();
        // Another stream than the history's, and another at every start: event ids must not repeat.
        let seed = self.args.seed ^ started.unsigned_abs().rotate_left(20);
        let mut generator = (self.args.rate > 0).then(|| Generator::live(seed, self.args.rate, started));
        while !self.stop.is_cancelled() && end.is_none_or(|end| Instant::now() < end) {
            std::thread::sleep(TICK);
            let Some(generator) = &mut generator else { continue };
            let mut body = Vec::new();
            let events = generator.due(self.clock.now(), BATCH_EVENTS, &mut body);
            if events > 0 {
                let (_, failure) =
                    send_all(&self.sink, 1, PATIENCE, &|_| {}, |emit| emit(batch(body, events)).map(|()| 0));
                // While stopping the server refuses; that is not worth a word.
                if let Some(error) = failure.filter(|_| !self.stop.is_cancelled()) {
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// The next events that are not after `until`.
fn next_batch(generator: &mut Generator, until: i64) -> Option<Batch> {
    let mut body = Vec::new();
    let events = generator.due(until, BATCH_EVENTS, &mut body);
    (events > 0).then(|| batch(body, events))
}

fn batch(body: Vec<u8>, events: usize) -> Batch {
    Batch {
        file: "demo traffic".into(),
        body_kind: Body::Ndjson,
        body: body.into(),
        lines: (1..).take(events).collect(),
        notes: Vec::new(),
    }
}
