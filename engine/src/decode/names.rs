//! What the names in an event stand for.

use std::sync::LazyLock;

use hashbrown::HashMap;

use crate::event::ColumnKind;
use crate::validate::{MONEY_NAMES, flag, float, int, text};

/// What a name in an event stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Text(usize),
    EventTs,
    ClientTs,
    Money(usize),
    Int(usize),
    Flag(usize),
    Float(usize),
    SchemaVersion,
    Items,
    Properties,
    /// `timestamp`, `page_url`: counts where the canonical name is absent.
    Alias(Alias),
    /// `utm`, `device`, `geo`.
    Nested(Parent),
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alias {
    Timestamp,
    PageUrl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parent {
    Utm,
    Device,
    Geo,
}

impl Parent {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Utm => "utm",
            Self::Device => "device",
            Self::Geo => "geo",
        }
    }

    /// The flat column of a name inside this object.
    pub(super) fn column(self, name: &str) -> Option<&'static str> {
        Some(match (self, name) {
            (Self::Utm, "source") => "utm_source",
            (Self::Utm, "medium") => "utm_medium",
            (Self::Utm, "campaign") => "utm_campaign",
            (Self::Device, "user_agent") => "user_agent",
            (Self::Device, "os") => "os",
            (Self::Device, "mobile") => "mobile",
            (Self::Device, "bot") => "bot",
            (Self::Geo, "country") => "country",
            (Self::Geo, "city") => "city",
            (Self::Geo, "lat") => "lat",
            (Self::Geo, "lon") => "lon",
            _ => return None,
        })
    }
}

static TARGETS: LazyLock<HashMap<&'static str, Target>> = LazyLock::new(|| {
    let mut targets: HashMap<&'static str, Target> = HashMap::new();
    targets.extend(text::NAMES.iter().enumerate().map(|(slot, name)| (*name, Target::Text(slot))));
    targets.extend(MONEY_NAMES.iter().enumerate().map(|(slot, name)| (*name, Target::Money(slot))));
    targets.extend(int::NAMES.iter().enumerate().map(|(slot, name)| (*name, Target::Int(slot))));
    targets.extend(flag::NAMES.iter().enumerate().map(|(slot, name)| (*name, Target::Flag(slot))));
    targets.extend(float::NAMES.iter().enumerate().map(|(slot, name)| (*name, Target::Float(slot))));
    targets.extend([
        ("event_ts", Target::EventTs),
        ("client_ts", Target::ClientTs),
        ("schema_version", Target::SchemaVersion),
        ("items", Target::Items),
        ("properties", Target::Properties),
        ("timestamp", Target::Alias(Alias::Timestamp)),
        ("page_url", Target::Alias(Alias::PageUrl)),
        ("utm", Target::Nested(Parent::Utm)),
        ("device", Target::Nested(Parent::Device)),
        ("geo", Target::Nested(Parent::Geo)),
    ]);
    targets
});

/// What a top-level name stands for.
pub(crate) fn target(name: &str) -> Target {
    TARGETS.get(name).copied().unwrap_or(Target::Unknown)
}

/// Whether a text column takes a JSON number's text as its value.
pub(crate) fn takes_numbers(slot: usize) -> bool {
    matches!(
        slot,
        text::EVENT_ID
            | text::USER_ID
            | text::ANONYMOUS_ID
            | text::SESSION_ID
            | text::PRODUCT_ID
            | text::ORDER_ID
            | text::CART_ID
            | text::COUPON
            | text::CATEGORY
            | text::UTM_CAMPAIGN
    )
}

/// The kind of column a target fills, for input that is typed already.
pub(crate) fn kind_of(target: Target) -> Option<ColumnKind> {
    Some(match target {
        Target::Text(_) | Target::Alias(Alias::PageUrl) | Target::Properties => ColumnKind::Text,
        Target::EventTs | Target::ClientTs | Target::Alias(Alias::Timestamp) => ColumnKind::Time,
        Target::Money(_) => ColumnKind::Money,
        Target::Int(_) => ColumnKind::Int,
        Target::SchemaVersion => ColumnKind::Small,
        Target::Flag(_) => ColumnKind::Bool,
        Target::Float(_) => ColumnKind::Float,
        Target::Items => ColumnKind::Items,
        Target::Nested(_) | Target::Unknown => return None,
    })
}
