//! A message's `context`: where and with what it happened. SDKs write it by themselves, so nothing in it can make a message
//! wrong: what cannot be taken for a column stays in `properties`, under `context`.
//!
//! | context | column |
//! |---|---|
//! | `page.path`, else `page.url` | `page`; the URL beside a path is `page_url` in `properties` |
//! | `page.referrer` | `referrer` |
//! | `campaign.source`, `.medium`, `.name` | `utm_source`, `utm_medium`, `utm_campaign`; other members are `utm_…` in `properties` |
//! | `userAgent` | `user_agent`, and from it `os`, `mobile`, `bot` |
//! | `os.name`, `device.type` | `os`, `mobile` |
//! | `location.country`, `.city`, `.latitude`, `.longitude` | `country`, `city`, `lat`, `lon` |
//! | `sessionId`, `session_id` | `session_id` |
//! | `ip` | none, see [`IpAddresses`] |
//! | `locale`, `timezone`, `library`, `traits`, `app`, … | none: `properties`, as they are |

use std::borrow::Cow;

use super::super::object::ObjectReader;
use super::super::properties::merged;
use super::super::raw::{Kind, Raw, unscannable};
use super::{IpAddresses, each_member};
use crate::validate::{Reject, flag, float, text};

type Members<'de> = Vec<(Cow<'de, str>, Cow<'de, str>)>;

/// Fills the columns that say where a message comes from. `rest` lends its room.
pub(super) fn fill<'de>(
    reader: &mut ObjectReader<'de>,
    context: Option<Raw<'de>>,
    rest: &mut Members<'de>,
    ip: IpAddresses,
) -> Result<(), Reject> {
    let Some(context) = context else { return Ok(()) };
    if context.kind() != Kind::Object {
        reader.extras.push((Cow::Borrowed("context"), Cow::Borrowed(context.text)));
        return Ok(());
    }
    rest.clear();
    let mut page = None;
    each_member(&context, "context", |name, raw| {
        let is_taken = match &*name {
            _ if raw.is_null() => true,
            "userAgent" => take_text(reader, text::USER_AGENT, &raw),
            "sessionId" | "session_id" => take_text(reader, text::SESSION_ID, &raw),
            "page" if raw.kind() == Kind::Object => {
                page = Some(raw);
                true
            }
            "campaign" if raw.kind() == Kind::Object => {
                campaign(reader, &raw);
                true
            }
            "os" | "device" | "location" if raw.kind() == Kind::Object => {
                place(reader, &name, &raw);
                false
            }
            _ => false,
        };
        if !is_taken {
            rest.push((name, Cow::Borrowed(raw.text)));
        }
    })?;
    if let Some(page) = page {
        let left = page_members(reader, &page)?;
        if !left.is_empty() {
            rest.push((Cow::Borrowed("page"), Cow::Owned(merged(None, &left).map_err(unscannable)?)));
        }
    }
    ip.clean_values(rest);
    if !rest.is_empty() {
        let left = merged(None, rest).map_err(unscannable)?;
        reader.extras.push((Cow::Borrowed("context"), Cow::Owned(left)));
    }
    Ok(())
}

/// Reads a page's own properties, which win over what the context says of it.
pub(super) fn fill_page<'de>(reader: &mut ObjectReader<'de>, properties: Option<Raw<'de>>) -> Result<(), Reject> {
    let Some(properties) = properties else { return Ok(()) };
    let (mut page, mut url) = (None, None);
    each_member(&properties, "properties", |name, raw| {
        let place = match &*name {
            "path" => &mut page,
            "url" => &mut url,
            "referrer" => {
                reader.row.text[text::REFERRER] = None;
                if !take_text(reader, text::REFERRER, &raw) {
                    reader.extras.push((name, Cow::Borrowed(raw.text)));
                }
                return;
            }
            "session_id" | "sessionId" if take_text(reader, text::SESSION_ID, &raw) => return,
            _ => {
                reader.extras.push((name, Cow::Borrowed(raw.text)));
                return;
            }
        };
        *place = Some(raw);
    })?;
    if page.is_some() || url.is_some() {
        set_page(reader, page, url);
    }
    Ok(())
}

/// Reads `context.page`; what is left of it.
fn page_members<'de>(reader: &mut ObjectReader<'de>, raw: &Raw<'de>) -> Result<Members<'de>, Reject> {
    let (mut page, mut url, mut left) = (None, None, Members::new());
    each_member(raw, "context", |name, raw| match &*name {
        "path" => page = Some(raw),
        "url" => url = Some(raw),
        "referrer" if take_text(reader, text::REFERRER, &raw) => {}
        // The URL has it.
        "search" => {}
        _ => left.push((name, Cow::Borrowed(raw.text))),
    })?;
    set_page(reader, page, url);
    Ok(left)
}

/// Takes a path for `page`, else a URL, which may carry a campaign.
pub(in crate::decode) fn set_page<'de>(reader: &mut ObjectReader<'de>, page: Option<Raw<'de>>, url: Option<Raw<'de>>) {
    let read = |raw: Option<Raw<'de>>| raw.and_then(|raw| raw.text(false).ok().flatten());
    let (page, full) = (read(page), read(url));
    if page.is_none() && full.is_none() {
        return;
    }
    reader.extras.retain(|(name, _)| name != "page_url");
    reader.page_url = full.clone();
    if page.is_some()
        && full.is_some()
        && let Some(url) = url
    {
        reader.extras.push((Cow::Borrowed("page_url"), Cow::Borrowed(url.text)));
    }
    reader.row.text[text::PAGE] = page.or(full);
}

fn campaign<'de>(reader: &mut ObjectReader<'de>, raw: &Raw<'de>) {
    // It was scanned as an object, so it can be read as one.
    let _ = each_member(raw, "context", |name, raw| {
        let slot = match &*name {
            "source" => Some(text::UTM_SOURCE),
            "medium" => Some(text::UTM_MEDIUM),
            "name" => Some(text::UTM_CAMPAIGN),
            _ => None,
        };
        if !slot.is_some_and(|slot| take_text(reader, slot, &raw)) {
            reader.extras.push((Cow::Owned(format!("utm_{name}")), Cow::Borrowed(raw.text)));
        }
    });
}

/// Reads `os`, `device` and `location`; they stay whole in `properties` besides.
fn place<'de>(reader: &mut ObjectReader<'de>, of: &str, raw: &Raw<'de>) {
    let _ = each_member(raw, "context", |name, raw| match (of, &*name) {
        ("os", "name") => drop(take_text(reader, text::OS, &raw)),
        ("device", "type") => {
            reader.row.flag[flag::MOBILE] = match raw.text(false).ok().flatten().as_deref() {
                Some("ios" | "android" | "mobile" | "phone" | "tablet") => Some(true),
                Some("desktop") => Some(false),
                _ => None,
            };
        }
        ("location", "country") => drop(take_text(reader, text::COUNTRY, &raw)),
        ("location", "city") => drop(take_text(reader, text::CITY, &raw)),
        ("location", "latitude") => reader.row.float[float::LAT] = degrees(&raw, 90.0),
        ("location", "longitude") => reader.row.float[float::LON] = degrees(&raw, 180.0),
        _ => {}
    });
}

fn degrees(raw: &Raw<'_>, most: f64) -> Option<f64> {
    raw.float("lat").ok().flatten().filter(|degrees| degrees.abs() <= most)
}

/// Takes a text, or a number for one, where the column has none yet; whether the value need not be kept elsewhere.
pub(in crate::decode) fn take_text<'de>(reader: &mut ObjectReader<'de>, slot: usize, raw: &Raw<'de>) -> bool {
    match raw.text(true) {
        Ok(None) => true,
        Ok(value) if reader.row.text[slot].is_none() => {
            reader.row.text[slot] = value;
            true
        }
        _ => false,
    }
}
