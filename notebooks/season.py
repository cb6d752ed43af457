#!/usr/bin/env python3
"""A made-up season of a small shop in Berlin, as NDJSON on standard output: the same bytes every time.

    python3 notebooks/season.py | tideline load - --format ndjson

Twelve weeks from Monday, 6 January 2025, to Sunday, 30 March 2025, the day the clocks go forward. Customers come in
waves of campaigns, look around, and some of them buy and come back. No real shop, no real person.
"""

import json
import sys
from datetime import datetime, timedelta, timezone
from random import Random

FIRST_DAY = datetime(2025, 1, 6, tzinfo=timezone.utc)
DAYS = 84
CUSTOMERS = 600

# (product_id, name, category, price in cents, how often it is looked at)
PRODUCTS = [
    ("mug", "Mug", "kitchen", 890, 30), ("kettle", "Kettle", "kitchen", 4_990, 18), ("teapot", "Teapot", "kitchen", 3_450, 12),
    ("grater", "Käsereibe", "kitchen", 1_995, 8), ("lamp", "Desk lamp", "home", 5_900, 14), ("rug", "Wool rug", "home", 14_900, 6),
    ("vase", "Vase", "home", 2_750, 10), ("candle", "Candle", "home", 1_250, 16), ("notebook", "Notebook", "paper", 690, 20),
    ("pen", "Fountain pen", "paper", 3_990, 9), ("card", "Birthday card", "paper", 350, 15),
]
# (utm, how many come through it, how ready to buy they are)
CHANNELS = [
    ({}, 34, 1.0), ({"source": "google", "medium": "cpc", "campaign": "spring"}, 28, 0.8),
    ({"source": "newsletter", "medium": "email", "campaign": "weekly"}, 16, 1.7),
    ({"source": "instagram", "medium": "social"}, 22, 0.45),
]
COUNTRIES = [(("DE", "Berlin"), 62), (("AT", "Vienna"), 18), (("FR", "Lyon"), 12), (("NL", "Utrecht"), 8)]
HOURS = [(7, 4), (9, 8), (12, 10), (15, 8), (18, 14), (20, 18), (22, 7)]

# Only random() is used: its values for a seed are the same in every version of Python.
RANDOM = Random(20_250_106)


def chance(share):
    return RANDOM.random() < share


def below(number):
    return int(RANDOM.random() * number)


def pick(weighted):
    """One of (…, weight); the weight is the second member."""
    left = RANDOM.random() * sum(entry[1] for entry in weighted)
    for entry in weighted:
        left -= entry[1]
        if left < 0:
            return entry
    return weighted[-1]


def seconds(most):
    return timedelta(seconds=5 + below(most))


class Customer:
    def __init__(self, number):
        self.number = number
        self.user_id = f"u{number:03}"
        (self.country, self.city), _ = pick(COUNTRIES)
        self.mobile = chance(0.55)
        self.utm, _, self.readiness = pick(CHANNELS)
        self.loyalty = RANDOM.random() ** 2
        self.visits = self.orders = 0


def visit(customer, at):
    """The events of one visit that begins at a moment."""
    customer.visits += 1
    session = f"s{customer.number:03}-{customer.visits}"
    # Who comes back types the address, mostly.
    utm = customer.utm if customer.visits == 1 or chance(0.25) else {}
    common = {
        "session_id": session, "user_id": customer.user_id,
        "device": {"mobile": customer.mobile, "os": "iOS" if customer.mobile else "Windows"},
        "geo": {"country": customer.country, "city": customer.city},
    }

    def event(kind, page, **more):
        return {"event_type": kind, "event_ts": at.isoformat(timespec="milliseconds"), "page": page, **common, **more}

    yield event("page_view", "/", utm=utm, load_ms=180 + below(900))
    if chance(0.22):
        return
    basket = {}
    for _ in range(1 + below(4)):
        at += seconds(90)
        product, name, category, cents, _ = pick([(p, p[4]) for p in PRODUCTS])[0]
        about = {"product_id": product, "product_name": name, "category": category, "price": cents / 100, "currency": "EUR"}
        yield event("product_view", f"/product/{product}", **about)
        if chance(0.42 * customer.readiness):
            at += seconds(60)
            quantity = 1 + (below(3) if cents < 1_500 else 0)
            basket[product] = basket.get(product, 0) + quantity
            yield event("add_to_cart", f"/product/{product}", quantity=quantity, cart_id=f"c-{session}", **about)
    if not basket or not chance(0.7 if not customer.mobile else 0.55):
        return
    at += seconds(120)
    yield event("checkout_start", "/checkout", cart_id=f"c-{session}")
    if not chance(0.55 + 0.35 * customer.loyalty):
        return
    at += seconds(300)
    customer.orders += 1
    prices = {product: (name, category, cents) for product, name, category, cents, _ in PRODUCTS}
    items = [{"product_id": product, "name": prices[product][0], "category": prices[product][1],
              "price": prices[product][2] / 100, "quantity": quantity} for product, quantity in basket.items()]
    cents = sum(prices[product][2] * quantity for product, quantity in basket.items())
    order = {"order_id": f"o-{session}", "currency": "EUR", "items": items, "revenue": cents / 100}
    yield event("purchase", "/thanks", cart_id=f"c-{session}", **order)
    # Now and then a shop sends an order twice, and now and then something comes back.
    if chance(0.03):
        at += timedelta(seconds=30)
        yield event("purchase", "/thanks", cart_id=f"c-{session}", **order)
    if chance(0.06):
        at += timedelta(days=2 + below(9), hours=below(5))
        if at < FIRST_DAY + timedelta(days=DAYS, hours=-3):
            yield {"event_type": "refund", "event_ts": at.isoformat(timespec="milliseconds"), "order_id": order["order_id"],
                   "currency": "EUR", "items": items[:1]}


def season():
    """All events, in the order of time."""
    events = []
    for number in range(CUSTOMERS):
        customer = Customer(number)
        # A wave of new customers every four weeks, each smaller than the one before.
        day = float(pick([(0, 5), (28, 4), (56, 3)])[0] + below(28))
        while day < DAYS:
            hour, _ = pick(HOURS)
            at = FIRST_DAY + timedelta(days=int(day), hours=hour, minutes=below(60), seconds=below(60))
            # Nobody comes in the last hours: the shop's own last day is over before UTC's.
            if at < FIRST_DAY + timedelta(days=DAYS, hours=-3):
                events += visit(customer, at)
            day += 1 + below(int(6 + 60 * (1 - customer.loyalty)))
            if chance(0.25 * (1 - customer.loyalty)):
                break
    events.sort(key=lambda event: event["event_ts"])
    for number, event in enumerate(events):
        yield {"event_id": f"season-{number:05}", **event}


if __name__ == "__main__":
    for line in season():
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
