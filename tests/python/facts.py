"""What happened in a shop, worked out from its events one after the other, in plain Python and exact decimals: visits,
orders, refunds, carts. Written from the definitions (queries/README.md and the metrics' descriptions), not from the SQL."""

from collections import defaultdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

UTC = timezone.utc
NONE = Decimal(0)


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def money(value):
    return None if value is None else Decimal(str(value))


class Event:
    """An event as the server keeps it: what the client sent, and what the server derives from it."""

    def __init__(self, sent, seq, received):
        self.sent, self.seq, self.received = sent, seq, received
        self.id, self.type, self.at = sent["event_id"], sent["event_type"], moment(sent["event_ts"])
        for name in ("user_id", "anonymous_id", "session_id", "page", "load_ms", "order_id", "cart_id", "product_id",
                     "product_name", "category", "brand", "quantity", "user_agent"):
            setattr(self, name, sent.get(name))
        for name in ("price", "revenue", "discount", "tax", "shipping"):
            setattr(self, name, money(sent.get(name)))
        self.visitor = self.user_id or self.anonymous_id
        self.currency = sent["currency"].upper() if sent.get("currency") else None
        self.country, self.city = (sent.get("geo", {}).get(name) for name in ("country", "city"))
        self.source, self.medium, self.campaign = (sent.get("utm", {}).get(n) for n in ("source", "medium", "campaign"))
        self.os = sent.get("device", {}).get("os")
        self.device = {None: None, True: "mobile", False: "desktop"}[sent.get("device", {}).get("mobile")]
        self.bot = "Googlebot" in (self.user_agent or "")
        self.channel = self._channel()

    def _channel(self):
        """The rows of the server's table of channels that these tests use."""
        if self.medium:
            return {"cpc": "paid", "email": "email", "social": "social"}[self.medium]
        if "google" in self.sent.get("referrer", ""):
            return "organic"
        return "direct" if self.page else None

    def lines(self):
        """The lines of an order or cart. An event without items is its own line; a missing quantity is one."""
        own = {"product_id": self.product_id, "name": self.product_name, "category": self.category, "brand": self.brand,
               "price": self.price, "quantity": self.quantity}
        return [Line(self, line) for line in self.sent.get("items") or [own]]

    def total(self):
        return sum((line.amount for line in self.lines()), NONE)


class Line:
    def __init__(self, event, line):
        self.event, self.at, self.seq = event, event.at, event.seq
        self.product_id, self.name = line.get("product_id"), line.get("name")
        self.category, self.brand = line.get("category"), line.get("brand")
        self.priced = line.get("price") is not None
        self.units = 1 if line.get("quantity") is None else line["quantity"]
        self.amount = (money(line.get("price")) or NONE) * self.units
        self.own_discount = (money(line.get("discount")) or NONE) if event.sent.get("items") else NONE
        self.discount = Fraction(0)


def known(events, name):
    """The first value known of something."""
    return next((value for value in (getattr(event, name) for event in events) if value is not None), None)


PLACES = ("country", "city", "channel", "source", "medium", "campaign", "device", "os")


class Visit:
    """The events of one session_id. It is 'from' what its first known values say."""

    def __init__(self, session_id, events):
        self.session_id, self.events = session_id, sorted(events, key=lambda e: (e.at, e.seq))
        self.begin, self.end = self.events[0].at, self.events[-1].at
        for name in ("user_id", "anonymous_id", *PLACES):
            setattr(self, name, known(self.events, name))
        self.visitor = self.user_id or self.anonymous_id
        pages = [event.page for event in self.events if event.page]
        self.entry, self.exit = (pages[0], pages[-1]) if pages else (None, None)
        actions = [event for event in self.events if event.type not in ("identify", "alias", "group")]
        self.bounced = len(actions) == 1 and actions[0].type == "page_view"
        self.converted = self.count("purchase") > 0
        self.checked_out = self.count("checkout_start", "checkout_step") > 0
        self.ms = (self.end - self.begin) // timedelta(milliseconds=1)

    def of(self, *types):
        return [event for event in self.events if event.type in types]

    def count(self, *types):
        return len(self.of(*types))


class Order:
    """What the purchases, refunds and cancellations of one order come to."""

    def __init__(self, key, purchases, refunds, cancellations, shop_currency):
        self.key, self.order_id = key, purchases[0].order_id
        self.at = min(purchase.at for purchase in purchases)
        for name in ("visitor", "user_id", "anonymous_id", "session_id", *PLACES):
            setattr(self, name, known(purchases, name))
        self.currency = known(purchases, "currency") or shop_currency
        self.foreign = self.currency != shop_currency
        # Sent twice: the same revenue stated over the same sum of lines. It adds nothing.
        self.repeats, kept, said = 0, [], set()
        for purchase in purchases:
            what = (purchase.revenue, purchase.total(), purchase.product_id)
            if purchase.revenue is not None and what in said:
                self.repeats += 1
            else:
                said.add(what)
                kept.append(purchase)
        self.lines = [line for purchase in kept for line in purchase.lines()]
        self.gross, self.units = sum((line.amount for line in self.lines), NONE), sum(line.units for line in self.lines)
        self.value = (known(kept, "revenue") or NONE) + sum((p.total() for p in kept if p.revenue is None), NONE)
        self.tax, self.shipping = known(purchases, "tax") or NONE, known(purchases, "shipping") or NONE
        own, stated = sum((line.own_discount for line in self.lines), NONE), known(purchases, "discount")
        self.discount = own if stated is None else stated
        for line in self.lines:
            if self.gross and self.discount == own:
                line.discount = Fraction(line.own_discount)
            elif self.gross:
                line.discount = Fraction(self.discount) * Fraction(line.amount) / Fraction(self.gross)
        self.cancelled_at = min((event.at for event in cancellations), default=None)
        self.cancelled = self.cancelled_at is not None
        self.counts = not self.cancelled and not self.foreign
        left, self.refunds = NONE if self.cancelled else self.value, []
        for event in sorted(refunds, key=lambda e: (e.at, e.seq)):
            refund = Refund(event, self, shop_currency)
            if refund.currency == self.currency:
                refund.amount = min(left if refund.claimed is None else refund.claimed, left)
                left -= refund.amount
            self.refunds.append(refund)
        self.refunded = sum((refund.amount for refund in self.refunds), NONE)
        self.net = self.gross - self.discount - self.refunded
        self.total = self.net + self.tax + self.shipping
        # Set by the shop, which knows the customer's other orders.
        self.first_order = False


class Refund:
    """A refund at its own time. Its amount is what is left of its order's value at most."""

    def __init__(self, event, order, shop_currency):
        self.at, self.seq = event.at, event.seq
        priced = [line for line in event.lines() if line.priced]
        self.claimed = abs(event.revenue) if event.revenue is not None else abs(event.total()) if priced else None
        self.visitor = event.visitor or (order and order.visitor)
        self.country = event.country or (order and order.country)
        ordered = order.currency if order else shop_currency
        # One that names no amount is of all that is left: in the order's currency.
        self.currency = ordered if self.claimed is None else event.currency or ordered
        # In another currency than the shop's, or of an order that is.
        self.foreign = self.currency != shop_currency or bool(order and order.foreign)
        self.amount = NONE if order else self.claimed or NONE


class Cart:
    """Something was put into it; a cart is a cart_id, or the session where there is none."""

    def __init__(self, adds, purchases):
        adds.sort(key=lambda e: (e.at, e.seq))
        self.begin = adds[0].at
        for name in ("channel", "country", "device"):
            setattr(self, name, getattr(adds[0], name))
        self.bot = any(event.bot for event in adds)
        ids, sessions = ({getattr(event, name) for event in adds} - {None} for name in ("cart_id", "session_id"))
        self.ordered = min((p.at for p in purchases if p.at >= self.begin and (p.cart_id in ids or p.session_id in sessions)),
                           default=None)


class Shop:
    """Everything that happened, known today."""

    def __init__(self, events, zone, currency, letters=()):
        self.zone, self.currency, self.letters = ZoneInfo(zone), currency, letters
        self.events = events
        self.human = [event for event in events if not event.bot]
        sessions, keys, adds = defaultdict(list), defaultdict(list), defaultdict(list)
        for event in self.human:
            if event.session_id:
                sessions[event.session_id].append(event)
        self.visits = {session_id: Visit(session_id, mine) for session_id, mine in sessions.items()}
        for event in events:
            if event.type in ("purchase", "refund", "order_cancelled"):
                keys[event.order_id or f"event:{event.id}"].append(event)
            if event.type == "add_to_cart" and (event.cart_id or event.session_id):
                adds[event.cart_id or f"session:{event.session_id}"].append(event)
        self.orders, self.refunds = [], []
        for key, story in keys.items():
            purchases = [event for event in story if event.type == "purchase"]
            human = [event for event in purchases if not event.bot]
            refunds = [event for event in story if event.type == "refund"]
            if human:
                cancellations = [event for event in story if event.type == "order_cancelled"]
                order = Order(key, human, refunds, cancellations, currency)
                self.orders.append(order)
                self.refunds += order.refunds
            elif not purchases:
                self.refunds += [Refund(event, None, currency) for event in refunds]
        self.customers = defaultdict(list)
        for order in sorted(self.orders, key=lambda o: (o.at, o.key)):
            if order.visitor and not order.cancelled:
                order.first_order = order.visitor not in self.customers
                self.customers[order.visitor].append(order)
        purchases = [event for event in self.human if event.type == "purchase"]
        self.carts = [Cart(mine, purchases) for mine in adds.values()]

    def day(self, at):
        return at.astimezone(self.zone).date()

    def midnight(self, day):
        return datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC)
