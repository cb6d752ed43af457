//! Fields derived where the client left them out: `os`, `mobile` and `bot` from the user agent, `utm_*` from the page's
//! URL, `channel` from campaign and referrer (see [`super::channel`]), `schema_version`.
//!
//! Reading a user agent takes dozens of regular expressions, and a shop sees the same few thousand over and over: they
//! are remembered, in bounded memory.

use std::borrow::Cow;
use std::fmt;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::Mutex;

use super::channel::{UrlSigns, channel};
use crate::event::SCHEMA_VERSION;
use crate::validate::{Limits, Row, flag, text};

/// What a user agent tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agent {
    /// Operating system; `None` where it cannot be told.
    pub os: Option<&'static str>,
    /// Phone or tablet; `None` where it cannot be told.
    pub mobile: Option<bool>,
    /// A crawler, monitor or other program.
    pub bot: bool,
}

const SHARDS: usize = 16;
/// Remembered user agents in each shard; a full shard starts afresh.
const AGENTS_PER_SHARD: usize = 2_048;
/// Longer user agents are read every time.
const MAX_REMEMBERED_BYTES: usize = 512;

/// Derives fields. One for the whole engine: it remembers user agents, at most 32,768 of up to 512 bytes (16 MiB).
pub struct Deriver {
    parser: woothee::parser::Parser,
    bots: isbot::Bots,
    hasher: DefaultHashBuilder,
    shards: [Mutex<HashMap<Box<str>, Agent>>; SHARDS],
}

impl fmt::Debug for Deriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deriver").finish_non_exhaustive()
    }
}

impl Default for Deriver {
    fn default() -> Self {
        Self::new()
    }
}

impl Deriver {
    /// Remembers nothing yet. Compiles the bot patterns, which takes some milliseconds.
    pub fn new() -> Self {
        Self {
            parser: woothee::parser::Parser::new(),
            bots: isbot::Bots::default(),
            hasher: DefaultHashBuilder::default(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// What a user agent tells, remembered or read.
    pub fn agent(&self, user_agent: &str) -> Agent {
        if user_agent.len() > MAX_REMEMBERED_BYTES {
            return self.read(user_agent);
        }
        // The high bits: the shard's own map uses the low ones of another hash anyway.
        let shard = &self.shards[(self.hasher.hash_one(user_agent) >> 60) as usize % SHARDS];
        if let Some(agent) = shard.lock().get(user_agent) {
            return *agent;
        }
        let agent = self.read(user_agent);
        let mut remembered = shard.lock();
        if remembered.len() >= AGENTS_PER_SHARD {
            remembered.clear();
        }
        remembered.insert(user_agent.into(), agent);
        agent
    }

    fn read(&self, user_agent: &str) -> Agent {
        let found = self.parser.parse(user_agent);
        let category = found.as_ref().map_or("", |f| f.category);
        let crawler = category == "crawler";
        Agent {
            os: found.as_ref().and_then(|f| os_name(f.os)),
            mobile: match category {
                "smartphone" | "mobilephone" => Some(true),
                "pc" => Some(false),
                _ => None,
            },
            bot: crawler || self.bots.is_bot(user_agent),
        }
    }

    /// Fills in what the client left out. `page_url` is one given beside `page`.
    pub(crate) fn fill(&self, row: &mut Row<'_>, page_url: Option<&str>, limits: &Limits) {
        row.schema_version.get_or_insert(SCHEMA_VERSION);
        self.fill_agent(row);
        fill_channel(row, page_url, limits);
    }

    fn fill_agent(&self, row: &mut Row<'_>) {
        let complete =
            row.text[text::OS].is_some() && row.flag[flag::MOBILE].is_some() && row.flag[flag::BOT].is_some();
        if complete {
            return;
        }
        let Some(user_agent) = row.text[text::USER_AGENT].as_deref() else { return };
        let agent = self.agent(user_agent);
        if row.text[text::OS].is_none() {
            row.text[text::OS] = agent.os.map(Cow::Borrowed);
        }
        row.flag[flag::MOBILE] = row.flag[flag::MOBILE].or(agent.mobile);
        row.flag[flag::BOT].get_or_insert(agent.bot);
    }
}

fn fill_channel(row: &mut Row<'_>, page_url: Option<&str>, limits: &Limits) {
    let page = row.text[text::PAGE].take();
    let referrer = row.text[text::REFERRER].take();
    // The URL that may carry a campaign and a host: `page` is often only a path, with the full URL beside it.
    let url = match page.as_deref() {
        Some(page) if page.contains('?') || page_url.is_none() => Some(page),
        _ => page_url,
    };
    let signs = url.map(UrlSigns::of).unwrap_or_default();
    for (slot, value) in
        [(text::UTM_SOURCE, signs.source), (text::UTM_MEDIUM, signs.medium), (text::UTM_CAMPAIGN, signs.campaign)]
    {
        if row.text[slot].is_none()
            && let Some(value) = value
        {
            row.text[slot] = decoded(value).filter(|value| value.len() <= limits.max_id_bytes).map(Cow::Owned);
        }
    }
    if row.text[text::CHANNEL].is_none() {
        let source = row.text[text::UTM_SOURCE].as_deref();
        let medium = row.text[text::UTM_MEDIUM].as_deref();
        row.text[text::CHANNEL] = channel(source, medium, signs, url, referrer.as_deref()).map(Cow::Borrowed);
    }
    row.text[text::PAGE] = page;
    row.text[text::REFERRER] = referrer;
}

/// A query parameter's value as text; `None` when it is blank.
fn decoded(value: &str) -> Option<String> {
    // As a query of one nameless pair: `+` is a space there, and `%2B` a plus.
    let pair = format!("={value}");
    let (_, text) = url::form_urlencoded::parse(pair.as_bytes()).next()?;
    let text = text.replace('\0', "\u{fffd}");
    (!text.trim_ascii().is_empty()).then_some(text)
}

/// One name for each operating system, whatever the library calls it.
fn os_name(os: &str) -> Option<&'static str> {
    Some(match os {
        "Windows 11" => "Windows 11",
        "Windows 10" => "Windows 10",
        "Windows 8.1" => "Windows 8.1",
        "Windows 8" => "Windows 8",
        "Windows 7" => "Windows 7",
        "Windows Vista" => "Windows Vista",
        "Windows XP" => "Windows XP",
        os if os.starts_with("Windows Phone") => "Windows Phone",
        os if os.starts_with("Windows") => "Windows",
        "Mac OSX" => "macOS",
        "Mac OS Classic" => "Mac OS",
        "iOS" | "iPhone" | "iPad" | "iPod" => "iOS",
        "Android" => "Android",
        "ChromeOS" => "ChromeOS",
        "Linux" => "Linux",
        "BSD" => "BSD",
        "BlackBerry" | "BlackBerry 10" => "BlackBerry",
        "Firefox OS" => "Firefox OS",
        "SymbianOS" => "Symbian",
        os if os.starts_with("PlayStation") => "PlayStation",
        os if os.starts_with("Nintendo") => "Nintendo",
        os if os.starts_with("Xbox") => "Xbox",
        "DigitalTV" => "TV",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROME_MAC: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) \
                              Chrome/108.0.0.0 Safari/537.36";

    #[test]
    fn agents_are_told_apart() {
        let deriver = Deriver::new();
        let agent = |os, mobile, bot| Agent { os, mobile, bot };
        for (user_agent, expected) in [
            (CHROME_MAC, agent(Some("macOS"), Some(false), false)),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 \
                 Safari/537.36 Edg/120.0.0.0",
                agent(Some("Windows 10"), Some(false), false),
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/17.1 Mobile/15E148 Safari/604.1",
                agent(Some("iOS"), Some(true), false),
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 \
                 Mobile Safari/537.36",
                agent(Some("Android"), Some(true), false),
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0",
                agent(Some("Linux"), Some(false), false),
            ),
            // A phone whose name ends in "bot".
            (
                "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 \
                 Mobile Safari/537.36",
                agent(Some("Android"), Some(true), false),
            ),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", agent(None, None, true)),
            ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", agent(None, None, true)),
            ("curl/8.4.0", agent(None, None, true)),
        ] {
            for _ in 0..2 {
                assert_eq!(deriver.agent(user_agent), expected, "{user_agent}");
            }
        }
    }

    #[test]
    fn memory_for_agents_is_bounded() {
        let deriver = Deriver::new();
        let shard_of = |text: &str| (deriver.hasher.hash_one(text) >> 60) as usize % SHARDS;
        // Filled without reading 32,768 user agents.
        for at in 0..AGENTS_PER_SHARD {
            let agent = Agent { os: None, mobile: None, bot: false };
            deriver.shards[shard_of(CHROME_MAC)].lock().insert(at.to_string().into(), agent);
        }
        let _ = deriver.agent(CHROME_MAC);
        assert_eq!(deriver.shards[shard_of(CHROME_MAC)].lock().len(), 1);
        let long = "x".repeat(MAX_REMEMBERED_BYTES + 1);
        let _ = deriver.agent(&long);
        assert!(!deriver.shards[shard_of(&long)].lock().contains_key(long.as_str()));
    }

    fn filled(fields: &[(usize, &'static str)], page_url: Option<&str>) -> Row<'static> {
        let mut row = Row::default();
        for (slot, value) in fields {
            row.text[*slot] = Some((*value).into());
        }
        Deriver::new().fill(&mut row, page_url, &Limits::default());
        row
    }

    #[test]
    fn what_the_client_sent_stays() {
        let row = filled(
            &[
                (text::USER_AGENT, CHROME_MAC),
                (text::OS, "Haiku"),
                (text::CHANNEL, "tv"),
                (text::UTM_SOURCE, "sent"),
                (text::PAGE, "/?utm_source=url&utm_medium=cpc"),
            ],
            None,
        );
        assert_eq!(row.text[text::OS].as_deref(), Some("Haiku"));
        assert_eq!(row.flag, [Some(false), Some(false)]);
        assert_eq!(row.text[text::CHANNEL].as_deref(), Some("tv"));
        assert_eq!(row.text[text::UTM_SOURCE].as_deref(), Some("sent"));
        assert_eq!(row.text[text::UTM_MEDIUM].as_deref(), Some("cpc"));
        assert_eq!(row.schema_version, Some(SCHEMA_VERSION));
    }

    #[test]
    fn the_campaign_is_read_from_either_url() {
        let row = filled(
            &[(text::PAGE, "/p"), (text::REFERRER, "https://shop.example/")],
            Some("https://shop.example/p?utm_source=a+b%2Bc&utm_campaign=%20&utm_medium=email"),
        );
        assert_eq!(row.text[text::UTM_SOURCE].as_deref(), Some("a b+c"));
        assert_eq!(row.text[text::UTM_CAMPAIGN], None);
        assert_eq!(row.text[text::CHANNEL].as_deref(), Some("email"));
        assert_eq!(row.text[text::PAGE].as_deref(), Some("/p"));
    }

    #[test]
    fn a_back_office_event_has_no_channel() {
        assert_eq!(filled(&[(text::EVENT_TYPE, "purchase")], None).text[text::CHANNEL], None);
    }
}
