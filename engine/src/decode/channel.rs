//! Which channel brought a visit: a table of rules over campaign parameters and referrer, first match wins.
//!
//! | # | what is seen | channel |
//! |---|---|---|
//! | 1 | `utm_medium` is paid ([`PAID_MEDIA`], or starts with `paid`), or the URL has an ad click id ([`CLICK_IDS`]) | paid |
//! | 2 | `utm_medium` in [`MEDIA`] | as listed |
//! | 3 | `utm_source` names a known site ([`SITES`]: `google`, `facebook`, `newsletter`) | as listed |
//! | 4 | any other `utm_source` or `utm_medium` | referral |
//! | 5 | the referrer is our own site (same host, or a path) | direct |
//! | 6 | the referrer's host or site is known ([`HOSTS`], [`SITES`], or `mail.…`) | as listed |
//! | 7 | any other referrer | referral |
//! | 8 | the URL carries `fbclid` | social |
//! | 9 | there is a page, or campaign fields that say "direct" | direct |
//! | 10 | nothing at all (a back office's event) | null |

/// Direct: typed, bookmarked, or from our own pages.
pub(crate) const DIRECT: &str = "direct";
/// Unpaid search.
pub(crate) const ORGANIC: &str = "organic";
/// Paid clicks of any kind.
pub(crate) const PAID: &str = "paid";
/// Unpaid social networks.
pub(crate) const SOCIAL: &str = "social";
/// Mail and newsletters.
pub(crate) const EMAIL: &str = "email";
/// Other sites.
pub(crate) const REFERRAL: &str = "referral";

/// `utm_medium` of paid clicks.
const PAID_MEDIA: [&str; 14] = [
    "cpc",
    "ppc",
    "cpm",
    "cpv",
    "cpa",
    "cpl",
    "cpp",
    "sem",
    "ad",
    "ads",
    "display",
    "banner",
    "retargeting",
    "remarketing",
];

/// Other `utm_medium`.
const MEDIA: [(&str, &str); 21] = [
    ("organic", ORGANIC),
    ("seo", ORGANIC),
    ("email", EMAIL),
    ("e-mail", EMAIL),
    ("e_mail", EMAIL),
    ("mail", EMAIL),
    ("newsletter", EMAIL),
    ("social", SOCIAL),
    ("social-media", SOCIAL),
    ("social_media", SOCIAL),
    ("social-network", SOCIAL),
    ("social_network", SOCIAL),
    ("social network", SOCIAL),
    ("sm", SOCIAL),
    ("influencer", SOCIAL),
    ("referral", REFERRAL),
    ("affiliate", REFERRAL),
    ("affiliates", REFERRAL),
    ("partner", REFERRAL),
    ("(none)", DIRECT),
    ("direct", DIRECT),
];

/// Names of sites, as `utm_source` or as the registered name in a host (`google` in `www.google.co.uk`).
const SITES: [(&str, &str); 42] = [
    ("google", ORGANIC),
    ("bing", ORGANIC),
    ("duckduckgo", ORGANIC),
    ("yahoo", ORGANIC),
    ("yandex", ORGANIC),
    ("baidu", ORGANIC),
    ("ecosia", ORGANIC),
    ("startpage", ORGANIC),
    ("qwant", ORGANIC),
    ("naver", ORGANIC),
    ("seznam", ORGANIC),
    ("ask", ORGANIC),
    ("aol", ORGANIC),
    ("brave", ORGANIC),
    ("facebook", SOCIAL),
    ("instagram", SOCIAL),
    ("messenger", SOCIAL),
    ("threads", SOCIAL),
    ("twitter", SOCIAL),
    ("linkedin", SOCIAL),
    ("pinterest", SOCIAL),
    ("reddit", SOCIAL),
    ("youtube", SOCIAL),
    ("tiktok", SOCIAL),
    ("snapchat", SOCIAL),
    ("whatsapp", SOCIAL),
    ("telegram", SOCIAL),
    ("tumblr", SOCIAL),
    ("weibo", SOCIAL),
    ("vkontakte", SOCIAL),
    ("vk", SOCIAL),
    ("xing", SOCIAL),
    ("bsky", SOCIAL),
    ("discord", SOCIAL),
    ("quora", SOCIAL),
    ("newsletter", EMAIL),
    ("email", EMAIL),
    ("mailchimp", EMAIL),
    ("klaviyo", EMAIL),
    ("gmail", EMAIL),
    ("(direct)", DIRECT),
    ("direct", DIRECT),
];

/// Whole hosts whose name alone does not tell.
const HOSTS: [(&str, &str); 18] = [
    ("t.co", SOCIAL),
    ("x.com", SOCIAL),
    ("t.me", SOCIAL),
    ("wa.me", SOCIAL),
    ("fb.me", SOCIAL),
    ("fb.com", SOCIAL),
    ("m.me", SOCIAL),
    ("lnkd.in", SOCIAL),
    ("pin.it", SOCIAL),
    ("youtu.be", SOCIAL),
    ("redd.it", SOCIAL),
    ("mastodon.social", SOCIAL),
    ("outlook.live.com", EMAIL),
    ("outlook.office.com", EMAIL),
    ("com.google.android.gm", EMAIL),
    ("com.google.android.googlequicksearchbox", ORGANIC),
    ("com.linkedin.android", SOCIAL),
    ("com.reddit.frontpage", SOCIAL),
];

/// Query parameters that ad networks put into the URLs of paid clicks.
const CLICK_IDS: [&str; 6] = ["gclid", "gbraid", "wbraid", "dclid", "msclkid", "ttclid"];

/// What a page's URL says about the click that led to it; still percent-encoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct UrlSigns<'a> {
    pub source: Option<&'a str>,
    pub medium: Option<&'a str>,
    pub campaign: Option<&'a str>,
    pub paid_click: bool,
    pub facebook_click: bool,
}

impl<'a> UrlSigns<'a> {
    /// Looks through a URL's query.
    pub fn of(url: &'a str) -> Self {
        let mut signs = Self::default();
        let Some((_, query)) = url.split_once('?') else { return signs };
        let query = query.split_once('#').map_or(query, |(query, _)| query);
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if value.is_empty() {
                continue;
            }
            match key {
                "utm_source" => signs.source = Some(value),
                "utm_medium" => signs.medium = Some(value),
                "utm_campaign" => signs.campaign = Some(value),
                "fbclid" => signs.facebook_click = true,
                key => signs.paid_click |= CLICK_IDS.contains(&key),
            }
        }
        signs
    }
}

/// The channel by the rules above.
pub(crate) fn channel(
    source: Option<&str>,
    medium: Option<&str>,
    signs: UrlSigns<'_>,
    page: Option<&str>,
    referrer: Option<&str>,
) -> Option<&'static str> {
    if signs.paid_click || medium.is_some_and(is_paid) {
        return Some(PAID);
    }
    if let Some(known) = medium.and_then(|medium| lookup(&MEDIA, medium)) {
        return Some(known);
    }
    if let Some(source) = source {
        return Some(lookup(&SITES, source).or_else(|| host_channel(source)).unwrap_or(REFERRAL));
    }
    if medium.is_some() {
        return Some(REFERRAL);
    }
    if let Some(referrer) = referrer {
        return Some(referrer_channel(referrer, page));
    }
    if signs.facebook_click {
        return Some(SOCIAL);
    }
    page.map(|_| DIRECT)
}

fn is_paid(medium: &str) -> bool {
    let starts_paid = medium.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("paid"));
    starts_paid || PAID_MEDIA.iter().any(|paid| paid.eq_ignore_ascii_case(medium))
}

fn lookup(table: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, channel)| *channel)
}

fn referrer_channel(referrer: &str, page: Option<&str>) -> &'static str {
    let Some(host) = host(referrer) else { return DIRECT };
    if page.and_then(self::host).is_some_and(|own| own.eq_ignore_ascii_case(host)) {
        return DIRECT;
    }
    host_channel(host).unwrap_or(REFERRAL)
}

/// The channel of a host such as `www.google.co.uk`, where it is known.
fn host_channel(host: &str) -> Option<&'static str> {
    if let Some(known) = lookup(&HOSTS, host) {
        return Some(known);
    }
    let first = host.split('.').next().unwrap_or_default();
    if ["mail", "webmail"].iter().any(|mail| mail.eq_ignore_ascii_case(first)) {
        return Some(EMAIL);
    }
    lookup(&SITES, site_name(host)?)
}

/// The host of a URL without `www.` and port; `None` for a path or a URL without one.
fn host(url: &str) -> Option<&str> {
    let rest = match url.split_once("://") {
        Some((_, rest)) => rest,
        None if url.starts_with("//") => &url[2..],
        // "google.com/x": some trackers leave the scheme away.
        None if !url.starts_with('/') && !url.contains(':') && url.contains('.') => url,
        None => return None,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    let host = match host.get(..4) {
        Some(www) if www.eq_ignore_ascii_case("www.") => &host[4..],
        _ => host,
    };
    (!host.is_empty()).then_some(host)
}

/// The registered name in a host: `google` in `maps.google.co.uk`. An approximation of the public suffix list: the last
/// label is the suffix, with a second-level one (`co.uk`) before it where that is what it looks like.
fn site_name(host: &str) -> Option<&str> {
    let mut labels = host.rsplit('.');
    labels.next()?;
    let name = labels.next()?;
    let is_suffix = ["co", "com", "org", "net", "ac"].iter().any(|suffix| suffix.eq_ignore_ascii_case(name));
    if is_suffix { labels.next().or(Some(name)) } else { Some(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_rules() {
        let page = "https://shop.example/p/1";
        for (source, medium, page, referrer, expected) in [
            (Some("google"), Some("cpc"), page, None, PAID),
            (Some("facebook"), Some("Paid_Social"), page, None, PAID),
            (None, None, "/p?gclid=abc", Some("https://www.google.de/"), PAID),
            (Some("google"), Some("organic"), page, None, ORGANIC),
            (Some("spring"), Some("Email"), page, None, EMAIL),
            (Some("newsletter"), None, page, None, EMAIL),
            (Some("Instagram"), None, page, None, SOCIAL),
            (Some("instagram.com"), None, page, None, SOCIAL),
            (Some("google"), None, page, None, ORGANIC),
            (Some("a-blog"), Some("cooperation"), page, None, REFERRAL),
            (Some("(direct)"), Some("(none)"), page, None, DIRECT),
            (None, Some("qr"), page, None, REFERRAL),
            (None, None, page, Some("https://www.google.co.uk/search?q=x"), ORGANIC),
            (None, None, page, Some("https://search.yahoo.com/"), ORGANIC),
            (None, None, page, Some("https://mail.google.com/mail/u/0/"), EMAIL),
            (None, None, page, Some("android-app://com.google.android.gm/"), EMAIL),
            (None, None, page, Some("https://l.facebook.com/l.php?u=x"), SOCIAL),
            (None, None, page, Some("https://t.co/abc"), SOCIAL),
            (None, None, page, Some("https://blog.example.org/post"), REFERRAL),
            (None, None, page, Some("https://google.evil.example/"), REFERRAL),
            (None, None, page, Some("https://www.SHOP.example:8443/cart"), DIRECT),
            (None, None, page, Some("/cart"), DIRECT),
            (None, None, page, Some("about:blank"), DIRECT),
            (None, None, "/p/1?fbclid=x", None, SOCIAL),
            (None, None, page, None, DIRECT),
        ] {
            let found = channel(source, medium, UrlSigns::of(page), Some(page), referrer);
            assert_eq!(found, Some(expected), "{source:?} {medium:?} {page} {referrer:?}");
        }
        assert_eq!(channel(None, None, UrlSigns::default(), None, None), None);
    }

    #[test]
    fn a_url_gives_its_campaign() {
        let signs =
            UrlSigns::of("https://x.example/?a=1&utm_source=goo%20gle&utm_medium=&utm_campaign=w#utm_source=no");
        assert_eq!(signs, UrlSigns { source: Some("goo%20gle"), campaign: Some("w"), ..UrlSigns::default() });
    }

    #[test]
    fn odd_urls_have_no_host_and_do_no_harm() {
        for url in ["", "/", "//", "://", "http://", "?", "#", "http://@:/", "ü://ü@ü:ü/ü", "www.", "http://www."]
        {
            let _ = channel(None, None, UrlSigns::of(url), Some(url), Some(url));
        }
        assert_eq!(host("//cdn.example/x"), Some("cdn.example"));
        assert_eq!(host("http://user:pw@shop.example:80/"), Some("shop.example"));
    }
}
