//! The metrics that come with the binary: the files of `queries/`, listed by name. A test compares list and folder.

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$( ($name, include_str!(concat!("../../../queries/", $name, ".sql"))) ),*]
    };
}

/// Name and text of every metric.
pub const FILES: &[(&str, &str)] = files![
    "alerts/anomalies",
    "alerts/checkout-stalled",
    "alerts/conversion-drop",
    "alerts/error-rate",
    "alerts/lag",
    "alerts/no-orders",
    "carts/abandonment",
    "checkout/completion",
    "conversion/daily",
    "conversion/rates",
    "customers/cohorts",
    "customers/ltv",
    "customers/retention",
    "customers/rfm",
    "customers/rfm-segments",
    "customers/time-to-purchase",
    "customers/top",
    "funnel/any-order",
    "funnel/ordered",
    "funnel/strict",
    "inventory/stock",
    "now/active",
    "now/funnel",
    "now/minutes",
    "now/orders",
    "now/today",
    "now/top",
    "products/performance",
    "quality/duplicates",
    "quality/freshness",
    "quality/late",
    "quality/rejected",
    "sales/attribution",
    "sales/by",
    "sales/by-category",
    "sales/daily",
    "sales/hourly",
    "sales/hours-of-day",
    "sales/ledger",
    "sales/order-date",
    "sales/summary",
    "sales/top-products",
    "sessions/list",
    "sessions/summary",
    "traffic/bots",
    "traffic/channels",
    "traffic/daily",
    "traffic/entries",
    "traffic/events",
    "traffic/exits",
    "traffic/load-times",
    "traffic/page",
    "traffic/pages",
    "traffic/sources",
    "users/active",
    "users/identities",
    "users/journey",
    "users/retention",
];

/// Folders of `queries/` that hold something else.
pub const NOT_METRICS: [&str; 2] = ["live", "views"];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn walk(dir: &Path, prefix: &str, into: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_dir() {
                if !(prefix.is_empty() && NOT_METRICS.contains(&name.as_str())) {
                    walk(&entry.path(), &format!("{prefix}{name}/"), into);
                }
            } else if let Some(stem) = name.strip_suffix(".sql") {
                into.push(format!("{prefix}{stem}"));
            }
        }
    }

    #[test]
    fn every_file_is_listed_and_has_its_expectations() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries");
        let mut found = Vec::new();
        walk(&root, "", &mut found);
        found.sort();
        let mut listed: Vec<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        listed.sort();
        assert_eq!(found, listed, "engine/src/metrics/embedded.rs must list every file of queries/");
        for name in found {
            let expectations = root.join(format!("{name}.slt"));
            assert!(expectations.is_file(), "queries/{name}.slt is missing: every metric has its expectations");
        }
    }
}
