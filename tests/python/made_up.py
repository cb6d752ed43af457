"""A shop made up at random, to try metrics on data that nobody tuned them for: several currencies, a change of clocks,
orders sent twice, under one id, in parts, refunded beyond their value or in other money, cancelled before they were made;
ids that are missing, prices of nothing, everything late and much of it at the same moment, names in any script.

What comes out depends on the seed alone, but for the few events around now."""

import uuid
from datetime import datetime, timedelta, timezone
from random import Random

# Each seed takes one: (time zone, currency, first local day). The clocks change in the middle of the three weeks.
PLACES = [("Europe/Berlin", "EUR", "2025-03-20"), ("America/New_York", "USD", "2024-10-25"), ("Australia/Sydney", "AUD", "2025-03-28"),
          ("Asia/Kolkata", "INR", "2025-06-01"), ("Europe/Berlin", "EUR", "2024-10-17"), ("Pacific/Apia", "NZD", "2025-05-05")]
DAYS = 21
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
PRODUCTS = ["mug", "日本茶", "søm, 5\"", "Ёлка", "👟-42", "free", "p7", "p8", "Tee «XL»"]
CATEGORIES = ["kitchen", "home", "Ünïcode", None]
PAGES = ["/", "/cart", "/suche?q=öl", "/p/日本茶", "/a,b", "/thanks"]
UTM = [{}, {}, {}, {"source": "google", "medium": "cpc", "campaign": "frühling"}, {"source": "newsletter", "medium": "email"},
       {"source": "x", "medium": "social", "campaign": "a,\"b\""}]


class MadeUp:
    def __init__(self, seed):
        self.r = Random(seed)
        self.zone, self.currency, first = PLACES[seed % len(PLACES)]
        self.first = datetime.fromisoformat(first).date()
        self.last = self.first + timedelta(days=DAYS - 1)
        self.begin = datetime.fromisoformat(first).replace(tzinfo=timezone.utc)
        self.seed, self.count, self.late = seed, 0, []
        self.order_ids = []

    def chance(self, share):
        return self.r.random() < share

    def maybe(self, share, value):
        return value() if self.chance(share) else None

    def at(self):
        """Any moment; whole hours and midnights more often than chance would have them."""
        at = self.begin + timedelta(milliseconds=self.r.randrange(DAYS * 86_400_000))
        return at.replace(minute=0, second=0, microsecond=0) if self.chance(0.1) else at

    def step(self, at):
        """The next moment of a visit: often the very same."""
        if self.chance(0.25):
            return at
        return at + timedelta(milliseconds=self.r.choice([1, 999, 60_000, self.r.randrange(1, 3_000_000)]))

    def add(self, kind, at, **fields):
        self.count += 1
        event = {"event_id": f"made-{self.seed}-{self.count}", "event_type": kind, "event_ts": at.isoformat(timespec="milliseconds")}
        event |= {name: value for name, value in fields.items() if value is not None}
        # Most come at once, some hours or weeks later: the order of arrival is not the order of time.
        delay = 0 if self.chance(0.7) else self.r.randrange(20 * 86_400)
        self.late.append((at + timedelta(seconds=delay), self.count, event))
        return event

    def price(self):
        return self.r.choice(["0", "8.00", "49.90", "0.0001", "3.3333", "19.99", "1234567.8901", str(self.r.randrange(1, 9_999) / 100)])

    def product(self, at):
        number = self.r.randrange(len(PRODUCTS))
        # What is said of a product changes over time.
        name = None if number == 5 else f"{PRODUCTS[number]} {'neu' if at > self.begin + timedelta(days=9) else 'alt'}"
        return {"product_id": PRODUCTS[number], "name": name, "category": CATEGORIES[number % 4], "brand": self.r.choice(["Clay", None])}

    def item(self, at):
        line = self.product(at) | {"price": self.maybe(0.9, self.price), "quantity": self.maybe(0.7, lambda: self.r.randrange(0, 5)),
                                   "discount": self.maybe(0.2, lambda: self.r.choice(["0.10", "1.00", "0"]))}
        return {name: value for name, value in line.items() if value is not None and (name != "product_id" or self.chance(0.97))}

    def flat(self, at):
        line = self.item(at)
        line.pop("discount", None)
        return {{"name": "product_name"}.get(name, name): value for name, value in line.items()}

    def money(self):
        return self.r.choice([None, None, self.currency, self.currency, self.currency.lower(), "CHF", "JPY"])

    def visit(self, number):
        at = self.at()
        who = {"anonymous_id": f"a{self.r.randrange(60)}", "user_id": None}
        if self.chance(0.6):
            who["user_id"] = self.r.choice([f"u{self.r.randrange(40)}", "josé", "用户"])
            if self.chance(0.5):
                who["anonymous_id"] = None
        common = {"session_id": f"s{number}", "utm": self.r.choice(UTM), "referrer": self.maybe(0.2, lambda: "https://www.google.com/"),
                  "geo": self.maybe(0.8, lambda: {"country": self.r.choice(["DE", "AT", "日本"]), "city": self.r.choice(["Köln", "Graz"])}),
                  "device": self.maybe(0.8, lambda: {"os": self.r.choice(["iOS", "Linux"]), "mobile": self.chance(0.5)}),
                  "user_agent": self.maybe(0.06, lambda: BOT)}
        cart = self.r.choice([None, f"c{number}", f"c{number}", f"c{self.r.randrange(150)}"])
        for _ in range(self.r.choice([1, 1, 2, 4, 8, 14])):
            page = self.r.choice(PAGES)
            kind = self.r.choice(["page_view"] * 5 + ["product_view"] * 6 + ["add_to_cart"] * 4 + ["checkout_start", "checkout_start", "checkout_step",
                                  "purchase", "purchase", "remove_from_cart", "identify", "search", "product_list_view", "view_cart", "wish"])
            # Only what a session was at its start counts; later events may say something else.
            more = {} if kind in ("identify", "wish") else {"page": page}
            if kind == "page_view":
                more["load_ms"] = self.maybe(0.8, lambda: self.r.randrange(3_000))
            elif kind in ("product_view", "add_to_cart", "remove_from_cart"):
                more |= self.flat(at) | {"currency": self.money()} | ({} if kind == "product_view" else {"cart_id": cart})
            elif kind == "product_list_view":
                more["items"] = [self.item(at) for _ in range(self.r.randrange(4))]
            elif kind == "identify":
                who["user_id"] = who["user_id"] or f"u{self.r.randrange(40)}"
            elif kind.startswith("checkout"):
                more["cart_id"] = cart
            if kind == "purchase":
                self.order(at, {**common, **who, "page": page, "cart_id": self.maybe(0.6, lambda: cart)})
            else:
                self.add(kind, at, **{**common, **who, **more})
            at = self.step(at)

    def order(self, at, who):
        order_id = None if self.chance(0.1) else self.r.choice(self.order_ids) if self.order_ids and self.chance(0.05) else f"o{self.count}"
        if order_id:
            self.order_ids.append(order_id)
        whole = {"revenue": self.maybe(0.5, self.price), "tax": self.maybe(0.3, lambda: "1.90"), "shipping": self.maybe(0.3, lambda: "4.90"),
                 "discount": self.maybe(0.3, lambda: self.r.choice(["0", "1.00", "5.00", "0.0100"]))}
        currency, parts = self.money(), self.r.choice([1, 1, 1, 1, 2, 3])
        for _ in range(parts):
            lines = self.flat(at) if self.chance(0.3) else {"items": [self.item(at) for _ in range(self.r.randrange(4))]}
            said = {**who, **whole, **lines, "order_id": order_id, "currency": currency}
            self.add("purchase", at, **said)
            if self.chance(0.12):
                # Sent again, perhaps days later, perhaps by somebody who says less.
                delay = self.r.choice([0, 30, 86_400, 700_000])
                # Metrics of a range look a day around it: a session that comes back later is a new visit to them.
                session = who.get("session_id") if delay < 86_400 else None
                again = {**said, "session_id": session, "user_id": self.maybe(0.7, lambda: who.get("user_id"))}
                self.add("purchase", at + timedelta(seconds=delay), **again)
            if self.chance(0.3):
                at = self.step(at)
        if self.chance(0.3):
            self.aftermath(at, order_id)

    def aftermath(self, at, order_id):
        """Refunds and cancellations; by a clock that may be behind."""
        for _ in range(self.r.choice([1, 1, 2, 3])):
            when = at + timedelta(seconds=self.r.choice([-3_600, 0, 60, 86_400, 500_000]))
            if self.chance(0.25):
                self.add("order_cancelled", when, order_id=order_id or "o-none")
                continue
            amount = self.r.choice([{}, {"revenue": self.price()}, {"revenue": "99999"}, {"items": [self.item(at)]}, self.flat(at)])
            self.add("refund", when, order_id=self.r.choice([order_id, order_id, order_id, "o-unknown", None]),
                     currency=self.r.choice([None, None, self.currency, "CHF"]), user_id=self.maybe(0.2, lambda: "back office"), **amount)

    def stock(self):
        for _ in range(40):
            self.add("stock_level", self.at(), product_id=self.r.choice([*PRODUCTS, None]),
                     quantity=self.r.choice([None, 0, 0, 5, 100, -3]))

    def events(self):
        """What is sent, in the order it is sent: (bodies, events of them that are refused)."""
        for number in range(260):
            self.visit(number)
        for _ in range(40):
            who = {"user_id": self.maybe(0.5, lambda: f"u{self.r.randrange(40)}"), "geo": self.maybe(0.5, lambda: {"country": "DE"})}
            self.order(self.at(), who)
        self.stock()
        sent = [event for _, _, event in sorted(self.late, key=lambda entry: entry[:2])]
        # Exactly the same again, some time later.
        for _ in range(60):
            place = self.r.randrange(len(sent))
            sent.insert(self.r.randrange(place, len(sent)) + 1, sent[place])
        wrong = [{"event_type": "page_view", "event_ts": "2025-03-20T00:00:00Z", "page": "/", "user_id": "u1"},
                 {"event_type": "purchase", "event_ts": "yesterday"}, {"event_type": "purchase", "event_ts": "2025-03-20T00:00:00Z", "price": "1.00001"},
                 {"event_ts": "2025-03-20T00:00:00Z"}]
        for event in wrong:
            sent.insert(self.r.randrange(len(sent)), event | {"event_id": str(uuid.UUID(int=self.r.getrandbits(128)))})
        return sent, len(wrong)

    def just_now(self, now):
        """A visit around now, by a clock that is a little ahead."""
        for ahead in (-400, -90, 0, 120):
            yield {"event_id": f"now-{ahead}", "event_type": "page_view", "page": "/", "user_id": f"now{ahead}", "session_id": "now",
                   "event_ts": (now + timedelta(seconds=ahead)).isoformat(timespec="milliseconds")}
