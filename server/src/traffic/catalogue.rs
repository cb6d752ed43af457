//! What the made-up shop and its visitors look like: products, places, devices and campaigns, each with the piece
//! of JSON it contributes to an event prepared once.

use super::rng::{Alias, Rng, mix, scale};

/// Categories with the brands they carry and the nouns their products are named after.
const CATEGORIES: [(&str, [&str; 3], [&str; 4]); 8] = [
    ("shoes", ["Falk", "Runa", "Tempo"], ["Running Shoe", "Trail Boot", "Sneaker", "Sandal"]),
    ("home", ["Lund", "Casa Nova", "Hearth"], ["Wool Throw", "Desk Lamp", "Oak Shelf", "Ceramic Vase"]),
    ("kitchen", ["Brisa", "Ferro", "Lund"], ["Chef Knife", "Moka Pot", "Cast Iron Pan", "Kettle"]),
    ("outdoor", ["Nordkap", "Alpen", "Falk"], ["Rain Jacket", "Two-Person Tent", "Headlamp", "Daypack"]),
    ("electronics", ["Volta", "Klang", "Pixelo"], ["Wireless Earbuds", "Power Bank", "Smart Plug", "Keyboard"]),
    ("beauty", ["Aurea", "Sabi", "Flora"], ["Face Cream", "Hand Soap", "Shampoo Bar", "Sunscreen"]),
    ("toys", ["Kubo", "Pip", "Lumi"], ["Building Set", "Puzzle", "Plush Fox", "Wooden Train"]),
    ("books", ["Meridian", "Quill", "Harbour"], ["Cookbook", "Travel Guide", "Crime Novel", "Atlas"]),
];

/// City, country, latitude, longitude, weight.
const PLACES: [(&str, &str, &str, &str, u32); 32] = [
    ("Berlin", "DE", "52.5200", "13.4050", 90),
    ("Munich", "DE", "48.1351", "11.5820", 70),
    ("Hamburg", "DE", "53.5511", "9.9937", 55),
    ("Cologne", "DE", "50.9375", "6.9603", 40),
    ("Frankfurt", "DE", "50.1109", "8.6821", 35),
    ("Leipzig", "DE", "51.3397", "12.3731", 20),
    ("London", "GB", "51.5074", "-0.1278", 90),
    ("Manchester", "GB", "53.4808", "-2.2426", 35),
    ("Edinburgh", "GB", "55.9533", "-3.1883", 15),
    ("Paris", "FR", "48.8566", "2.3522", 80),
    ("Lyon", "FR", "45.7640", "4.8357", 25),
    ("Marseille", "FR", "43.2965", "5.3698", 20),
    ("Vienna", "AT", "48.2082", "16.3738", 40),
    ("Graz", "AT", "47.0707", "15.4395", 10),
    ("Zurich", "CH", "47.3769", "8.5417", 35),
    ("Geneva", "CH", "46.2044", "6.1432", 15),
    ("Amsterdam", "NL", "52.3676", "4.9041", 40),
    ("Rotterdam", "NL", "51.9244", "4.4777", 15),
    ("Madrid", "ES", "40.4168", "-3.7038", 45),
    ("Barcelona", "ES", "41.3874", "2.1686", 40),
    ("Milan", "IT", "45.4642", "9.1900", 40),
    ("Rome", "IT", "41.9028", "12.4964", 35),
    ("Warsaw", "PL", "52.2297", "21.0122", 35),
    ("Krakow", "PL", "50.0647", "19.9450", 15),
    ("Stockholm", "SE", "59.3293", "18.0686", 25),
    ("Copenhagen", "DK", "55.6761", "12.5683", 20),
    ("Brussels", "BE", "50.8503", "4.3517", 20),
    ("Lisbon", "PT", "38.7223", "-9.1393", 15),
    ("Prague", "CZ", "50.0755", "14.4378", 20),
    ("New York", "US", "40.7128", "-74.0060", 60),
    ("San Francisco", "US", "37.7749", "-122.4194", 30),
    ("Chicago", "US", "41.8781", "-87.6298", 25),
];

/// User agent, operating system, mobile, weight.
const DEVICES: [(&str, &str, bool, u32); 14] = [
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
        "Windows 11",
        false,
        190,
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
        "Windows 11",
        false,
        50,
    ),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0", "Windows 10", false, 190),
    ("Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko", "Windows 7", false, 20),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
        "macOS",
        false,
        80,
    ),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:133.0) Gecko/20100101 Firefox/133.0", "macOS", false, 90),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0", "Linux", false, 60),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
        "iOS",
        true,
        90,
    ),
    ("ShopApp/7.4.1 (iPhone; iOS 18.1; Scale/3.00)", "iOS", true, 110),
    ("ShopApp/7.4.0 (Linux; Android 14; Pixel 8)", "Android", true, 80),
    (
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
        "Android",
        true,
        130,
    ),
    ("Mozilla/5.0 (Android 14; Mobile; rv:133.0) Gecko/133.0 Firefox/133.0", "Android", true, 70),
    (
        "Mozilla/5.0 (Linux; Android 13; SM-A546B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/26.0 Chrome/122.0.0.0 Mobile Safari/537.36",
        "Android",
        true,
        30,
    ),
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Linux", false, 5),
];

/// The first device that is a crawler: from it on, they look at pages and do nothing else.
pub const CRAWLER: usize = DEVICES.len() - 1;

/// Further crawlers, which no user has: visits become theirs.
const MORE_CRAWLERS: [(&str, &str, bool, u32); 4] = [
    ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "Linux", false, 0),
    ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "Linux", false, 0),
    (
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
        "Linux",
        false,
        0,
    ),
    ("python-requests/2.32.3", "Linux", false, 0),
];

/// How many crawlers there are.
pub const CRAWLERS: u32 = 1 + MORE_CRAWLERS.len() as u32;

/// utm source, medium, campaign (all empty: none), referrer (empty: none), weight, and how willingly its visitors
/// buy in percent of the average.
const SOURCES: [(&str, &str, &str, &str, u32, u32); 12] = [
    ("", "", "", "", 450, 120),
    ("", "", "", "https://www.google.com/", 150, 100),
    ("google", "cpc", "winter_sale", "https://www.google.com/", 160, 110),
    ("google", "cpc", "brand_search", "https://www.google.com/", 90, 140),
    ("bing", "cpc", "winter_sale", "https://www.bing.com/", 40, 95),
    ("facebook", "paid_social", "retargeting", "https://www.facebook.com/", 90, 60),
    ("instagram", "paid_social", "new_arrivals", "https://www.instagram.com/", 80, 45),
    ("tiktok", "paid_social", "new_arrivals", "https://www.tiktok.com/", 40, 30),
    ("newsletter", "email", "weekly_picks", "", 70, 180),
    ("newsletter", "email", "abandoned_cart", "", 20, 320),
    ("pricecheck", "affiliate", "product_feed", "https://www.pricecheck.example/", 20, 90),
    ("blog_partner", "referral", "gift_guide", "https://www.giftguide.example/best-of", 10, 70),
];

/// The campaign behind a rush of visitors; nobody comes from it at other times.
const FLASH_SALE: (&str, &str, &str, &str, u32, u32) = ("newsletter", "email", "flash_sale", "", 0, 100);
/// Its index.
pub const FLASH_SALE_SOURCE: u8 = SOURCES.len() as u8;

/// What people type into the search box.
pub const SEARCHES: [&str; 8] =
    ["rain jacket", "gift for him", "wireless earbuds", "wool throw", "sale", "moka pot", "kids puzzle", "trail boot"];

/// One product.
#[derive(Debug)]
pub struct Product {
    /// Price of one unit in cents.
    pub cents: u32,
    /// `sku_00042`
    pub id: String,
    /// Members of a view of it: `"product_id":…,"price":…,"currency":…,`
    pub view_members: String,
    /// Members of an event that changes a cart: the same with its name, category and brand.
    pub cart_members: String,
    /// The start of an order line: `{"product_id":…,"name":…,"category":…,"brand":…,"price":…,`
    pub item_members: String,
}

/// Everything an event can be about, with its JSON.
#[derive(Debug)]
pub struct Catalogue {
    /// The products; their index is their rank in popularity.
    pub products: Vec<Product>,
    /// `"geo":{…}}` and the line's end, by place.
    pub places: Vec<String>,
    /// `"device":{…},` by device.
    pub devices: Vec<String>,
    /// `"utm":{…},` or nothing, by source.
    pub sources: Vec<String>,
    /// `"referrer":"…",` or nothing, by source.
    pub referrers: Vec<String>,
    place_of: Alias,
    device_of: Alias,
    source_of: Alias,
}

impl Catalogue {
    /// A shop with that many products.
    pub fn new(products: u32) -> Self {
        let weights = |weights: &mut dyn Iterator<Item = u32>| Alias::new(&weights.map(f64::from).collect::<Vec<_>>());
        Self {
            products: (0..products.max(1)).map(product).collect(),
            places: PLACES.iter().map(place).collect(),
            devices: DEVICES.iter().chain(&MORE_CRAWLERS).map(device).collect(),
            sources: SOURCES.iter().chain([&FLASH_SALE]).map(source).collect(),
            referrers: SOURCES.iter().chain([&FLASH_SALE]).map(referrer).collect(),
            place_of: weights(&mut PLACES.iter().map(|p| p.4)),
            device_of: weights(&mut DEVICES.iter().map(|d| d.3)),
            source_of: weights(&mut SOURCES.iter().map(|s| s.4)),
        }
    }

    /// Where a user lives and what they browse with: the same at every visit.
    pub fn home_of(&self, user: u32) -> (u8, u8) {
        let mut rng = Rng::new(mix(u64::from(user)));
        (self.place_of.draw(&mut rng) as u8, self.device_of.draw(&mut rng) as u8)
    }

    /// Where a visit comes from.
    pub fn source(&self, rng: &mut Rng) -> u8 {
        self.source_of.draw(rng) as u8
    }

    /// How willingly visitors of that source buy, in percent of the average.
    pub fn appetite(source: u8) -> u32 {
        SOURCES.get(usize::from(source)).map_or(100, |s| s.5)
    }

    /// Weight and appetite of each source.
    pub fn appetites() -> impl Iterator<Item = (f64, f64)> {
        SOURCES.iter().map(|s| (f64::from(s.4), f64::from(s.5) / 1_000.0))
    }

    /// A category page.
    pub fn category(number: u32) -> &'static str {
        CATEGORIES[number as usize % CATEGORIES.len()].0
    }
}

fn product(rank: u32) -> Product {
    let bits = mix(u64::from(rank) ^ 0x70_726F_6475_6374);
    let (category, brands, nouns) = CATEGORIES[scale(bits, CATEGORIES.len() as u32) as usize];
    let brand = brands[(bits & 0xFF) as usize % brands.len()];
    let noun = nouns[(bits >> 8 & 0xFF) as usize % nouns.len()];
    // 4.90 to about 250.00, most of it below 80, ending in 90 or 50 cents as shops like it.
    let (coarse, fine) = (bits >> 16 & 0x3F, bits >> 22 & 0x3F);
    let euros = 4 + (coarse * fine / 16) as u32;
    let cents = euros * 100 + if bits >> 28 & 3 == 0 { 50 } else { 90 };
    let id = format!("sku_{rank:05}");
    let price = format!("{}.{:02}", cents / 100, cents % 100);
    let name = format!("{brand} {noun} {}", 100 + rank % 900);
    Product {
        cents,
        view_members: format!(r#""product_id":"{id}","price":{price},"currency":"EUR","#),
        cart_members: format!(
            r#""product_id":"{id}","product_name":"{name}","category":"{category}","brand":"{brand}","price":{price},"currency":"EUR","#
        ),
        item_members: format!(
            r#"{{"product_id":"{id}","name":"{name}","category":"{category}","brand":"{brand}","price":{price},"#
        ),
        id,
    }
}

fn place(&(city, country, lat, lon, _): &(&str, &str, &str, &str, u32)) -> String {
    format!("\"geo\":{{\"country\":\"{country}\",\"city\":\"{city}\",\"lat\":{lat},\"lon\":{lon}}}}}\n")
}

fn device(&(user_agent, os, mobile, _): &(&str, &str, bool, u32)) -> String {
    format!(r#""device":{{"user_agent":"{user_agent}","os":"{os}","mobile":{mobile}}},"#)
}

fn source(&(source, medium, campaign, ..): &(&str, &str, &str, &str, u32, u32)) -> String {
    match source {
        "" => String::new(),
        _ => format!(r#""utm":{{"source":"{source}","medium":"{medium}","campaign":"{campaign}"}},"#),
    }
}

fn referrer(&(_, _, _, referrer, ..): &(&str, &str, &str, &str, u32, u32)) -> String {
    match referrer {
        "" => String::new(),
        _ => format!(r#""referrer":"{referrer}","#),
    }
}
