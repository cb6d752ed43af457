//! A page of figures, and how it is written: Prometheus' text 0.0.4, or OpenMetrics 1.0.
//!
//! A page is put together anew for each scrape, from counters that are kept elsewhere, so that there is no registry to
//! keep in step with them. The encoder is `prometheus-client`'s, which writes OpenMetrics; the older format differs from
//! it in how counters are named and in its end.

use std::borrow::Cow;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tideline_engine::measure::{Counter, Histogram};

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Prometheus' text format.
    Prometheus,
    /// OpenMetrics.
    OpenMetrics,
}

impl Dialect {
    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a family counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The value of a sample.
#[derive(Debug, Clone)]
pub enum Value {
    /// A whole number.
    Whole(u64),
    /// Any other.
    Real(f64),
    /// Upper bounds with how many lie in each bucket alone, and the sum.
    Buckets(Vec<(f64, u64)>, f64),
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Self::Whole(n)
    }
}

impl From<usize> for Value {
    fn from(n: usize) -> Self {
        Self::Whole(n as u64)
    }
}

impl From<f64> for Value {
    fn from(n: f64) -> Self {
        Self::Real(n)
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        Self::Whole(is.into())
    }
}

impl From<&Counter> for Value {
    fn from(counter: &Counter) -> Self {
        Self::Whole(counter.get())
    }
}

/// A histogram of times, in seconds.
pub fn seconds(histogram: &Histogram) -> Value {
    buckets(histogram, 1e-6)
}

/// A histogram of numbers.
pub fn numbers(histogram: &Histogram) -> Value {
    buckets(histogram, 1.0)
}

fn buckets(histogram: &Histogram, unit: f64) -> Value {
    let read = histogram.read();
    let bounds = read.bounds.iter().map(|bound| *bound as f64 * unit).chain([f64::MAX]);
    Value::Buckets(bounds.zip(read.buckets).collect(), read.sum as f64 * unit)
}

/// Names and values of labels.
pub type Labels = Vec<(&'static str, Cow<'static, str>)>;

/// Labels, from pairs.
pub fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| (name, escaped(value))).collect()
}

/// The encoder writes values as they are.
fn escaped(value: &str) -> Cow<'static, str> {
    Cow::Owned(value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    samples: Vec<(Labels, Value)>,
}

/// Families of figures, in order.
#[derive(Debug, Default)]
pub struct Page(Vec<Family>);

impl Page {
    fn add(&mut self, kind: Kind, name: &'static str, help: &'static str, samples: Vec<(Labels, Value)>) {
        self.0.push(Family { name, help, kind, samples });
    }

    /// A number that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, value: impl Into<Value>) {
        self.add(Kind::Gauge, name, help, vec![(Labels::new(), value.into())]);
    }

    /// Several of them, told apart by labels.
    pub fn gauges(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, Value)>,
    ) {
        self.add(Kind::Gauge, name, help, samples.into_iter().collect());
    }

    /// A number that only grows; its name ends with `_total`.
    pub fn counter(&mut self, name: &'static str, help: &'static str, value: impl Into<Value>) {
        self.add(Kind::Counter, name, help, vec![(Labels::new(), value.into())]);
    }

    /// Several of them, told apart by labels.
    pub fn counters(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, Value)>,
    ) {
        self.add(Kind::Counter, name, help, samples.into_iter().collect());
    }

    /// A histogram: [`seconds`] or [`numbers`].
    pub fn histogram(&mut self, name: &'static str, help: &'static str, value: Value) {
        self.add(Kind::Histogram, name, help, vec![(Labels::new(), value)]);
    }

    /// Several of them, told apart by labels.
    pub fn histograms(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, Value)>,
    ) {
        self.add(Kind::Histogram, name, help, samples.into_iter().collect());
    }

    /// Writes it.
    ///
    /// # Errors
    /// The encoder's; none is expected, as a string takes everything.
    pub fn write(self, dialect: Dialect) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(32 << 10);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Encoded { page: self, dialect }));
        encode_registry(&mut text, &registry)?;
        if dialect == Dialect::OpenMetrics {
            encode_eof(&mut text)?;
        }
        Ok(text)
    }
}

#[derive(Debug)]
struct Encoded {
    page: Page,
    dialect: Dialect,
}

impl Collector for Encoded {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.page.0 {
            // OpenMetrics names a counter without its suffix, which its samples have; the older format with it.
            let (name, kind) = match (family.kind, self.dialect) {
                (Kind::Counter, Dialect::OpenMetrics) => {
                    (family.name.strip_suffix("_total").unwrap_or(family.name), MetricType::Counter)
                }
                (Kind::Counter, Dialect::Prometheus) => (family.name, MetricType::Counter),
                (Kind::Gauge, _) => (family.name, MetricType::Gauge),
                (Kind::Histogram, _) => (family.name, MetricType::Histogram),
            };
            let mut encoder = encoder.encode_descriptor(name, family.help, None, kind)?;
            for (labels, value) in &family.samples {
                let labels = labels.as_slice();
                let plain = labels.is_empty();
                let suffixed = family.kind == Kind::Counter && self.dialect == Dialect::OpenMetrics;
                if plain {
                    sample(&mut encoder, value, suffixed)?;
                } else {
                    sample(&mut encoder.encode_family(&labels)?, value, suffixed)?;
                }
            }
        }
        Ok(())
    }
}

fn sample(encoder: &mut MetricEncoder<'_>, value: &Value, suffixed: bool) -> fmt::Result {
    match value {
        Value::Buckets(buckets, sum) => {
            let count = buckets.iter().map(|(_, n)| n).sum();
            encoder.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)
        }
        Value::Whole(n) => number(encoder, *n, suffixed),
        Value::Real(n) => number(encoder, *n, suffixed),
    }
}

fn number<N>(encoder: &mut MetricEncoder<'_>, n: N, suffixed: bool) -> fmt::Result
where
    N: EncodeGaugeValue + prometheus_client::encoding::EncodeCounterValue,
{
    if suffixed { encoder.encode_counter::<NoLabelSet, N, f64>(&n, None) } else { encoder.encode_gauge(&n) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let mut page = Page::default();
        page.gauge("tideline_rows", "Rows.", 3_usize);
        page.counters(
            "tideline_events_total",
            "Events.",
            [(labels([("source", "a\"b\\c\nd"), ("outcome", "ok")]), Value::Whole(7))],
        );
        page.counter("process_cpu_seconds_total", "Time.", 0.25);
        let histogram = Histogram::new(&[1_000, 2_500]);
        for us in [900, 1_000, 2_000, 9_000] {
            histogram.record(us);
        }
        page.histogram("tideline_took_seconds", "Time.", seconds(&histogram));
        page
    }

    #[test]
    fn both_formats_are_what_their_readers_expect() {
        let old = page().write(Dialect::Prometheus).unwrap();
        assert_eq!(
            old,
            "# HELP tideline_rows Rows.\n# TYPE tideline_rows gauge\ntideline_rows 3\n\
             # HELP tideline_events_total Events.\n# TYPE tideline_events_total counter\n\
             tideline_events_total{source=\"a\\\"b\\\\c\\nd\",outcome=\"ok\"} 7\n\
             # HELP process_cpu_seconds_total Time.\n# TYPE process_cpu_seconds_total counter\n\
             process_cpu_seconds_total 0.25\n\
             # HELP tideline_took_seconds Time.\n# TYPE tideline_took_seconds histogram\n\
             tideline_took_seconds_sum 0.0129\ntideline_took_seconds_count 4\n\
             tideline_took_seconds_bucket{le=\"0.001\"} 2\ntideline_took_seconds_bucket{le=\"0.0025\"} 3\n\
             tideline_took_seconds_bucket{le=\"+Inf\"} 4\n"
        );
        let new = page().write(Dialect::OpenMetrics).unwrap();
        assert!(new.contains("# TYPE tideline_events counter\ntideline_events_total{"), "{new}");
        assert!(new.contains("# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total 0.25\n"), "{new}");
        assert!(new.ends_with("# EOF\n") && !old.contains("EOF"));
    }
}
