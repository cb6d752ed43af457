//! Steps of the data path one by one, on one core: `cargo bench --workspace --bench steps`.
//!
//! Without a harness crate: criterion turns on features of shared dependencies, which would then compile twice. `serde_json` beside the decoder reads the same bodies into a generic tree and
//! nothing more: a landmark, not the same work.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use tideline_engine::buffer::to_table;
use tideline_engine::decode::segment::Call;
use tideline_engine::decode::{DecodeContext, Decoded, Deriver, InputFormat, decode};
use tideline_engine::dedup::{Dedup, IdHasher};
use tideline_engine::event::{Seq, index, stored_schema};
use tideline_engine::query::encode::{CellOptions, Encoder, Format};
use tideline_engine::wal::frame;
use tideline_server::traffic::{Generator, GeneratorConfig};

const EVENTS: u64 = 5_000;
const SEED: u64 = 42;
/// Samples of each step, and how long one should take.
const SAMPLES: usize = 15;
const PASS: Duration = Duration::from_millis(100);

/// What the steps work on: one request's body, and what becomes of it.
struct Sample {
    body: Bytes,
    context: DecodeContext,
    decoded: Decoded,
    stored: RecordBatch,
}

fn sample() -> Result<Sample, Box<dyn std::error::Error>> {
    let mut generator = Generator::new(GeneratorConfig { seed: SEED, events: EVENTS, ..GeneratorConfig::default() });
    let mut body = Vec::new();
    let mut newest = 0;
    while let Some(at) = generator.next_line(&mut body) {
        newest = newest.max(at);
    }
    let body = Bytes::from(body);
    let context = DecodeContext::new(newest, Arc::new(Deriver::default()));
    let decoded = decode(&body, InputFormat::Json, &context)?;
    let mut columns: Vec<ArrayRef> = decoded.batch.columns().to_vec();
    let rows = decoded.batch.num_rows();
    columns.insert(index::SEQ, Arc::new(Int64Array::from_iter_values(1..=rows as i64)));
    columns.insert(index::NODE, Arc::new(StringArray::from(vec!["0a1b2c3d"; rows])));
    let stored = RecordBatch::try_new(stored_schema(), columns)?;
    Ok(Sample { body, context, decoded, stored })
}

/// As many messages as there are events, as Segment's browser SDK writes them: views, carts and orders of three lines.
fn segment_batch() -> Bytes {
    let context = r#""context":{"page":{"path":"/p/1","referrer":"https://www.google.com/","search":"","title":"Shoe","url":"https://shop.example/p/1"},"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36","locale":"de-DE","library":{"name":"analytics.js","version":"next-1.84.3"},"timezone":"Europe/Berlin"}"#;
    let line = |n: u64| {
        format!(r#"{{"product_id":"p{n}","sku":"s{n}","name":"Shoe","category":"Shoes","price":59.99,"quantity":1}}"#)
    };
    let message = |n: u64| {
        let (event, properties) = match n % 10 {
            0 => (
                "Order Completed",
                format!(
                    r#"{{"order_id":"o{n}","total":187.97,"subtotal":179.97000000000003,"shipping":3,"tax":5,"currency":"EUR","products":[{},{},{}]}}"#,
                    line(1),
                    line(2),
                    line(3)
                ),
            ),
            1..4 => ("Product Added", line(n)),
            _ => ("Product Viewed", line(n)),
        };
        format!(
            r#"{{"timestamp":"2023-11-16T12:00:04.235Z","integrations":{{}},"type":"track","event":"{event}","properties":{properties},{context},"messageId":"ajs-next-{n:032}","userId":"u{n}","anonymousId":"28af3675-f5cd-4503-bd33-211b6e6b{:04}"}}"#,
            n % 10_000
        )
    };
    let messages: Vec<String> = (0..EVENTS).map(message).collect();
    Bytes::from(format!(
        r#"{{"batch":[{}],"sentAt":"2023-11-16T12:00:05.000Z","writeKey":"tl_x"}}"#,
        messages.join(",")
    ))
}

/// Runs a step until it has taken long enough to say something, and prints events per second: median, slowest, fastest.
fn measure<T>(name: &str, pass: Duration, mut step: impl FnMut() -> T) {
    let once = Instant::now();
    black_box(step());
    let passes = (pass.as_secs_f64() / once.elapsed().as_secs_f64().max(1e-9)).ceil().clamp(1.0, 1e6) as u32;
    let mut rates: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let begun = Instant::now();
            (0..passes).for_each(|_| drop(black_box(step())));
            EVENTS as f64 * f64::from(passes) / begun.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    let (slowest, median, fastest) = (rates[0], rates[SAMPLES / 2], rates[SAMPLES - 1]);
    println!("{name:38} {:8.2} M/s   {:.2} to {:.2}", median / 1e6, slowest / 1e6, fastest / 1e6);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sample = sample()?;
    // `cargo test --benches` does not say so, and only wants to see that it runs.
    let pass = if std::env::args().any(|argument| argument == "--bench") { PASS } else { Duration::ZERO };
    println!(
        "{EVENTS} events, {:.0} bytes each; events per second, one core",
        sample.body.len() as f64 / EVENTS as f64
    );
    measure("decode JSON", pass, || decode(&sample.body, InputFormat::Json, &sample.context).map(|d| d.total));
    let messages = segment_batch();
    let segment = InputFormat::Segment(Call::Batch);
    measure("decode a batch of Segment's API", pass, || decode(&messages, segment, &sample.context).map(|d| d.total));
    measure("serde_json to a tree, for comparison", pass, || {
        let lines = sample.body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok()).count()
    });
    let hasher = IdHasher::random();
    measure("hash ids", pass, || hasher.keys(&sample.decoded.batch).map(|keys| keys.len()));
    let keys = hasher.keys(&sample.decoded.batch)?;
    let (dedup, mut fresh) = (Dedup::new(1 << 30), Vec::with_capacity(keys.len()));
    measure("claim ids and take them back", pass, || {
        fresh.clear();
        dedup.claim(&keys, &mut fresh);
        dedup.release(keys.iter().copied());
        fresh.len()
    });
    let mut encoder = frame::Encoder::new()?;
    measure("frame for the log", pass, || encoder.encode(7, Seq(1), &sample.stored).map(<[u8]>::len));
    let table = to_table(&sample.stored)?;
    for format in [Format::Json, Format::Csv, Format::Parquet] {
        measure(&format!("answer as {}", format.name()), pass, || -> tideline_engine::error::Result<usize> {
            let mut encoder = Encoder::new(format, &table.schema(), CellOptions::default())?;
            Ok(encoder.write(&table)?.len() + encoder.finish()?.len())
        });
    }
    Ok(())
}
