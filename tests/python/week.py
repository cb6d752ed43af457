"""The figures of data/week.ndjson, computed without Tideline from what METRICS' definitions say, in plain Python and
exact decimals, and compared with the .slt files beside the metrics. Usage: python tests/python/week.py"""

import csv
import io
import json
import sys
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal as D
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo

ROOT = Path(__file__).resolve().parents[2]
BERLIN = ZoneInfo("Europe/Berlin")
START, END = "2025-03-24", "2025-03-30"


def time(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def midnight(day):
    return datetime.fromisoformat(day).replace(tzinfo=BERLIN).astimezone(timezone.utc)


def day(moment):
    return moment.astimezone(BERLIN).date().isoformat()


def money(value):
    return D(0) if value is None else D(str(value))


def lines(event):
    """(product, amount, units, discount) of each line; a missing quantity is 1, no items is one line."""
    found = []
    for line in event.get("items") or [event]:
        units = int(line.get("quantity") or 1)
        discount = money(line.get("discount")) if event.get("items") else D(0)
        found.append((line.get("product_id"), money(line.get("price")) * units, units, discount))
    return found


EVENTS = []
for seq, text in enumerate((ROOT / "data/week.ndjson").read_text().splitlines()):
    event = json.loads(text)
    event["seq"], event["at"] = seq, time(event["event_ts"])
    event["visitor"] = event.get("user_id") or event.get("anonymous_id")
    event["is_bot"] = "Googlebot" in event.get("user_agent", "")
    event["device"] = {None: None, True: "mobile", False: "desktop"}[event.get("device", {}).get("mobile")]
    event["country"] = event.get("geo", {}).get("country")
    source, medium = (event.get("utm", {}).get(k) for k in ("source", "medium"))
    event["source"] = source
    if medium:
        event["channel"] = {"cpc": "paid", "email": "email", "social": "social"}[medium]
    elif "google" in event.get("referrer", ""):
        event["channel"] = "organic"
    else:
        event["channel"] = "direct" if event.get("page") else None
    EVENTS.append(event)
HUMAN = [e for e in EVENTS if not e["is_bot"]]


def first(events, name):
    return next((e[name] for e in sorted(events, key=lambda e: (e["at"], e["seq"])) if e.get(name) is not None), None)


class Order:
    """What the purchases, refunds and cancellations of one order come to."""

    def __init__(self, key, events):
        bought = [e for e in events if e["event_type"] == "purchase"]
        self.key, self.at = key, min(e["at"] for e in bought)
        lead = bought[0]
        self.visitor, self.session, self.country = lead["visitor"], lead.get("session_id"), lead["country"]
        self.foreign = (lead.get("currency") or "EUR").upper() != "EUR"
        seen, self.lines, self.repeats, self.value = set(), [], 0, D(0)
        stated = None
        for e in bought:
            revenue = e.get("revenue")
            what = (revenue, sum(a for _, a, _, _ in lines(e)), e.get("product_id"))
            if revenue is not None and what in seen:
                self.repeats += 1
                continue
            seen.add(what)
            self.lines += lines(e)
            if revenue is None:
                self.value += what[1]
            elif stated is None:
                stated = money(revenue)
        self.value += stated or D(0)

        def once(name):
            return next((money(e[name]) for e in bought if e.get(name) is not None), None)

        self.gross, self.units = sum(a for _, a, _, _ in self.lines), sum(u for _, _, u, _ in self.lines)
        stated = once("discount")
        self.line_discounts = stated is None
        self.discount = sum(d for _, _, _, d in self.lines) if stated is None else stated
        if not bought[0].get("items"):
            self.discount = stated or D(0)
        self.tax, self.shipping = once("tax") or D(0), once("shipping") or D(0)
        self.cancelled_at = min((e["at"] for e in events if e["event_type"] == "order_cancelled"), default=None)
        self.counts = self.cancelled_at is None and not self.foreign
        left, self.refunds = self.value if self.cancelled_at is None else D(0), []
        for e in sorted((e for e in events if e["event_type"] == "refund"), key=lambda e: (e["at"], e["seq"])):
            asked = money(e["revenue"]) if e.get("revenue") else sum(a for _, a, _, _ in lines(e))
            if not e.get("revenue") and not e.get("items") and not e.get("price"):
                asked = left
            self.refunds.append((e["at"], min(asked, left)))
            left -= min(asked, left)
        self.refunded = sum(amount for _, amount in self.refunds)
        self.net = self.gross - self.discount - self.refunded


stories = defaultdict(list)
for event in HUMAN:
    if event["event_type"] in ("purchase", "refund", "order_cancelled"):
        stories[event.get("order_id") or event["event_id"]].append(event)
ORDERS = [Order(k, v) for k, v in stories.items() if any(e["event_type"] == "purchase" for e in v)]
STRAY = [(e["at"], sum(a for _, a, _, _ in lines(e))) for v in stories.values()
         if not any(e["event_type"] == "purchase" for e in v) for e in v if e["event_type"] == "refund"]
REFUNDS = [r for o in ORDERS if not o.foreign for r in o.refunds] + STRAY
VISITS = defaultdict(list)
for event in HUMAN:
    if event.get("session_id"):
        VISITS[event["session_id"]].append(event)


def within(moment, start=START, end=END):
    return start <= day(moment) <= end


def count(events, *types):
    return sum(e["event_type"] in types for e in events)


SESSIONS = {k: v for k, v in VISITS.items() if within(min(e["at"] for e in v))}


def slt(name):
    """request → rows, of the .slt beside a metric."""
    blocks = {}
    for block in (ROOT / f"queries/{name}.slt").read_text().split("\nmetric ")[1:]:
        request, answer = block.split("\n----\n")
        blocks[request.removeprefix(name).strip()] = list(csv.DictReader(io.StringIO(answer)))
    return blocks


CHECKED = defaultdict(int)


def same(metric, request, ours):
    """Compares rows by the columns we computed; all rows must be there, in the metric's order when ours has one."""
    theirs = slt(metric)[request]
    assert len(theirs) == len(ours), f"{metric} {request}: {len(theirs)} rows, expected {len(ours)}"
    for ours_row, row in zip(ours, theirs):
        for column, wanted in ours_row.items():
            got = row[column]
            if wanted is None or isinstance(wanted, str):
                equal = got == (wanted or "")
            elif isinstance(wanted, float):
                equal = got != "" and abs(float(got) - wanted) < 1e-9
            else:
                equal = got != "" and D(got) == wanted
            assert equal, f"{metric} {request}: {column} is {got!r}, expected {wanted!r} in {row}"
            CHECKED[metric] += 1


def cent(value, over):
    return None if not over else (value / over).quantize(D("0.0001"), rounding="ROUND_HALF_UP")


def ratio(a, b):
    return a / b if b else None


WEEK = f"start={START} end={END}"


def sales(orders, refunds, visitors):
    kept = [o for o in orders if o.counts]
    total = {n: sum((getattr(o, n) for o in kept), D(0)) for n in ("gross", "discount", "shipping", "tax", "value")}
    refunded = sum((amount for _, amount in refunds), D(0))
    net = total["gross"] - total["discount"] - refunded
    return {
        "orders": len(kept), "gross": total["gross"], "discounts": total["discount"], "refunds": refunded, "net": net,
        "shipping": total["shipping"], "tax": total["tax"], "total": net + total["shipping"] + total["tax"],
        "order_value": total["value"], "aov": cent(total["value"], len(kept)), "units": sum(o.units for o in kept),
        "buyers": len({o.visitor for o in kept}), "visitors": len(visitors),
        "revenue_per_visitor": cent(net, len(visitors)),
        "cancelled_orders": sum(o.cancelled_at is not None for o in orders),
        "duplicate_orders": sum(o.repeats for o in kept),
        "foreign_orders": sum(o.foreign and o.cancelled_at is None for o in orders),
    }


def bucketed(start, end, key):
    inside = lambda moment: within(moment, start, end)  # noqa: E731
    keys = sorted({key(m) for m in [o.at for o in ORDERS] + [r[0] for r in REFUNDS] + [e["at"] for e in HUMAN]
                   if inside(m)})
    for k in keys:
        mine = lambda moment: inside(moment) and key(moment) == k  # noqa: E731
        yield k, sales([o for o in ORDERS if mine(o.at)], [r for r in REFUNDS if mine(r[0])],
                       {e["visitor"] for e in HUMAN if mine(e["at"]) and e["visitor"]})


def check_sales():
    for request in (WEEK, "start=2025-03-30 end=2025-03-30", "start=2025-04-01 end=2025-04-04"):
        start, end = (part.split("=")[1] for part in request.split())
        same("sales/daily", request, [{"day": k, **v} for k, v in bucketed(start, end, day)])
    hour = lambda m: m.strftime("%Y-%m-%dT%H:00:00.000Z")  # noqa: E731
    same("sales/hourly", "start=2025-03-29 end=2025-03-30",
         [{"hour": k, **v} for k, v in bucketed("2025-03-29", "2025-03-30", hour)])
    orders = [o for o in ORDERS if within(o.at)]
    visitors = {e["visitor"] for e in HUMAN if within(e["at"]) and e["visitor"]}
    before = {o.visitor for o in ORDERS if o.at < midnight(START)}
    whole = sales(orders, [r for r in REFUNDS if within(r[0])], visitors)
    whole["returning_buyers"] = len({o.visitor for o in orders if o.counts} & before)
    same("sales/summary", WEEK, [whole])
    rows = []
    for k in sorted({day(o.at) for o in orders}):
        mine = [o for o in orders if day(o.at) == k]
        row = sales(mine, [r for o in mine if o.counts for r in o.refunds], {1})
        rows.append({"day": k, **{n: v for n, v in row.items() if "visitor" not in n}})
    same("sales/order-date", WEEK, rows)
    for by, of in (("country", "country"), ("channel", "channel"), ("source", "source"), ("device", "device")):
        groups = defaultdict(list)
        for o in orders:
            if o.counts:
                story = VISITS.get(o.session)
                groups[first(story, of) if story else (o.country if by == "country" else None)].append(o)
        sessions = defaultdict(int)
        for visit in SESSIONS.values():
            sessions[first(visit, of)] += 1
        rows = []
        for name in set(groups) | set(sessions):
            kept = groups[name]
            rows.append({"name": name, "orders": len(kept), "gross": sum((o.gross for o in kept), D(0)),
                         "refunds": sum((o.refunded for o in kept), D(0)), "net": sum((o.net for o in kept), D(0)),
                         "total": sum((o.net + o.tax + o.shipping for o in kept), D(0)),
                         "order_value": sum((o.value for o in kept), D(0)), "sessions": sessions[name]})
        rows.sort(key=lambda r: (-r["gross"], -r["sessions"], r["name"] is None, r["name"] or ""))
        same("sales/by", f"{WEEK} by={by}", rows)
    products = defaultdict(lambda: [D(0), D(0), 0, set(), set()])
    for o in orders:
        for product, amount, units, own in o.lines if o.counts else []:
            p = products[product]
            p[0] += amount
            p[1] += own if o.line_discounts else o.discount * amount / o.gross
            p[2] += units
            p[3].add(o.key)
            p[4].add(o.visitor)
    rows = [{"product_id": k, "gross": g, "discounts": d.quantize(D("0.0001")), "units": u, "orders": len(o),
             "buyers": len(b)} for k, (g, d, u, o, b) in products.items()]
    same("sales/top-products", WEEK, sorted(rows, key=lambda r: -r["gross"]))
    entries = defaultdict(lambda: [0, D(0), D(0)])
    for o in ORDERS:
        if not o.foreign:
            total = o.gross - o.discount + o.shipping + o.tax
            booked = [(o.at, "order", total, o.gross)]
            booked += [(o.cancelled_at, "cancellation", -total, -o.gross)] if o.cancelled_at else []
            for at, kind, total, gross in booked:
                e = entries[day(at), kind] if within(at) else [0, D(0), D(0)]
                e[0], e[1], e[2] = e[0] + 1, e[1] + total, e[2] + gross
    for at, amount in REFUNDS:
        if within(at):
            e = entries[day(at), "refund"]
            e[0], e[1] = e[0] + 1, e[1] - amount
    same("sales/ledger", WEEK, [{"day": d, "entry": k, "entries": n, "total": t, "gross": g}
                                for (d, k), (n, t, g) in sorted(entries.items())])


def check_sessions():
    def rates(visits):
        n = len(visits)
        converted = sum(count(v, "purchase") > 0 for v in visits)
        adding = sum(count(v, "add_to_cart") > 0 for v in visits)
        bounced = sum(len(v) == 1 and v[0]["event_type"] == "page_view" for v in visits)
        return {"sessions": n, "converted_sessions": converted, "adding_sessions": adding, "bounced_sessions": bounced,
                "checkout_sessions": sum(count(v, "checkout_start", "checkout_step") > 0 for v in visits),
                "viewing_sessions": sum(count(v, "product_view") > 0 for v in visits),
                "conversion_rate": ratio(converted, n), "add_to_cart_rate": ratio(adding, n),
                "bounce_rate": ratio(bounced, n)}

    same("conversion/rates", WEEK, [{"name": "all", **rates(list(SESSIONS.values()))}])
    groups = defaultdict(list)
    for visit in SESSIONS.values():
        groups[first(visit, "channel")].append(visit)
    same("conversion/rates", f"{WEEK} by=channel",
         [{"name": k, **rates(v)} for k, v in sorted(groups.items(), key=lambda g: (-len(g[1]), g[0]))])
    days = defaultdict(list)
    for visit in SESSIONS.values():
        days[day(min(e["at"] for e in visit))].append(visit)
    same("conversion/daily", WEEK, [{"day": k, **rates(v)} for k, v in sorted(days.items())])
    durations = [(max(e["at"] for e in v) - min(e["at"] for e in v)) / timedelta(milliseconds=1) for v in SESSIONS.values()]
    views = [count(v, "page_view") for v in SESSIONS.values()]
    same("sessions/summary", WEEK, [{
        "sessions": len(SESSIONS), "events": sum(len(v) for v in SESSIONS.values()), "page_views": sum(views),
        "duration_ms_p50": float(median(durations)), "duration_ms_avg": sum(durations) / len(durations),
        "depth_avg": sum(views) / len(views), "depth_p50": float(median(views))}])
    started = [v for v in SESSIONS.values() if count(v, "checkout_start", "checkout_step")]
    done = 0
    for v in started:
        begun = min(e["at"] for e in v if e["event_type"].startswith("checkout"))
        done += any(e["event_type"] == "purchase" and e["at"] >= begun for e in v)
    same("checkout/completion", WEEK, [{"started": len(started), "completed": done,
                                        "completion_rate": ratio(done, len(started))}])


def check_funnel():
    steps = ["product_view", "add_to_cart", "checkout_start", "purchase"]
    for request, actor, window in ((WEEK, "session_id", timedelta(days=1)),
                                   (f"{WEEK} window=10m", "session_id", timedelta(minutes=10)),
                                   (f"{WEEK} actor=user", "visitor", timedelta(days=1))):
        stories, reached = defaultdict(list), [[], [], [], []]
        for e in HUMAN:
            if e["event_type"] in steps and e.get(actor):
                stories[e[actor]].append(e)
        for story in stories.values():
            begin = at = min((e["at"] for e in story if e["event_type"] == steps[0]), default=None)
            if begin is None or not within(begin):
                continue
            for n, step in enumerate(steps):
                at = min((e["at"] for e in story if e["event_type"] == step and at <= e["at"] <= begin + window),
                         default=None)
                if at is None:
                    break
                reached[n].append((at - begin) / timedelta(milliseconds=1))
        numbers = [len(r) for r in reached]
        rows = [{"step": n + 1, "event_type": steps[n], "actors": numbers[n], "entered": numbers[0],
                 "overall_rate": ratio(numbers[n], numbers[0]),
                 "step_rate": ratio(numbers[n], numbers[n - 1]) if n else None,
                 "ms_p50": float(median(reached[n])) if n and reached[n] else None} for n in range(4)]
        same("funnel/ordered", request, rows)


def check_carts():
    carts, window = defaultdict(list), timedelta(days=1)
    for e in HUMAN:
        if e["event_type"] == "add_to_cart":
            carts[e.get("cart_id") or "session:" + e["session_id"]].append(e)
    purchases = [e for e in HUMAN if e["event_type"] == "purchase"]
    for at in ("2025-04-01T00:00:00Z", "2025-03-30T12:00:00Z"):
        now, closed, ordered, still_open = time(at), 0, 0, 0
        for key, adds in carts.items():
            begin = min(e["at"] for e in adds)
            bought = any(p["at"] >= begin and p["at"] <= min(begin + window, now)
                         and (p.get("cart_id") == key or p.get("session_id") in {e["session_id"] for e in adds})
                         for p in purchases)
            if begin + window <= now:
                closed, ordered = closed + 1, ordered + bought
            else:
                still_open += 1
        same("carts/abandonment", f"{WEEK} at={at}",
             [{"closed": closed, "ordered": ordered, "abandoned": closed - ordered, "open": still_open,
               "abandonment_rate": ratio(closed - ordered, closed)}])


def check_customers():
    orders = sorted((o for o in ORDERS if o.cancelled_at is None and o.visitor), key=lambda o: o.at)
    week = lambda m: (lambda d: (d - timedelta(days=d.weekday())).isoformat())(m.astimezone(BERLIN).date())  # noqa: E731
    cohort = {}
    for o in orders:
        cohort.setdefault(o.visitor, week(o.at))
    cells = {(cohort[o.visitor], week(o.at), o.visitor) for o in orders}
    rows = defaultdict(int)
    for begin, when, _ in cells:
        rows[begin, (time(when).date() - time(begin).date()).days // 7] += 1
    same("customers/cohorts", "start=2025-03-01 end=2025-03-31 grain=week",
         [{"cohort": c, "k": k, "customers": n, "cohort_size": list(cohort.values()).count(c)}
          for (c, k), n in sorted(rows.items())])
    spent = defaultdict(D)
    for o in orders:
        if not o.foreign:
            spent[cohort[o.visitor], (time(week(o.at)).date() - time(cohort[o.visitor]).date()).days // 7] += o.net
    rows, sums = [], defaultdict(D)
    for (c, k), net in sorted(spent.items()):
        sums[c] += net
        rows.append({"cohort": c, "k": k, "net": net, "net_cumulative": sums[c],
                     "ltv": cent(sums[c], list(cohort.values()).count(c))})
    same("customers/ltv", "start=2025-03-01 end=2025-03-31 grain=week", rows)
    rows = []
    for w in sorted({week(o.at) for o in orders}):
        buyers = {o.visitor for o in orders if week(o.at) == w}
        back = {b for b in buyers if cohort[b] < w}
        rows.append({"period": w, "buyers": len(buyers), "returning_buyers": len(back), "returning_rate": len(back) / len(buyers)})
    same("customers/retention", "start=2025-03-01 end=2025-03-31 grain=week", rows)
    at = midnight("2025-04-01")
    rfm = {v: [(time("2025-04-01").date() - max(o.at for o in orders if o.visitor == v).astimezone(BERLIN).date()).days,
               sum(o.visitor == v for o in orders), sum((o.net for o in orders if o.visitor == v and not o.foreign), D(0))]
           for v in cohort}
    got = {r["visitor"]: r for r in slt("customers/rfm")["at=2025-04-01T00:00:00Z"]}
    assert at and {v: [int(r["days_since"]), int(r["orders"]), D(r["net"])] for v, r in got.items()} == rfm, rfm
    CHECKED["customers/rfm"] += 3 * len(rfm)


def check_traffic():
    days = defaultdict(list)
    for e in HUMAN:
        if within(e["at"]):
            days[day(e["at"])].append(e)
    same("traffic/daily", WEEK, [{"day": k, "events": len(v), "page_views": count(v, "page_view"),
                                  "sessions": len({e["session_id"] for e in v if e.get("session_id")}),
                                  "visitors": len({e["visitor"] for e in v if e["visitor"]})} for k, v in sorted(days.items())])
    pages = defaultdict(list)
    for e in HUMAN:
        if within(e["at"]) and e["event_type"] == "page_view":
            pages[e["page"]].append(e)
    same("traffic/pages", WEEK, [{"page": p, "views": len(v), "visitors": len({e["visitor"] for e in v})}
                                 for p, v in sorted(pages.items(), key=lambda i: (-len(i[1]), i[0]))])
    for metric, pick in (("traffic/entries", 0), ("traffic/exits", -1)):
        found = defaultdict(int)
        for v in SESSIONS.values():
            seen = [e["page"] for e in sorted(v, key=lambda e: (e["at"], e["seq"])) if e.get("page")]
            found[seen[pick]] += 1
        same(metric, WEEK, [{"page": p, "sessions": n, "share": n / sum(found.values())}
                            for p, n in sorted(found.items(), key=lambda i: (-i[1], i[0]))])
    bots = [e for e in EVENTS if e["is_bot"]]
    everything = sum(within(e["at"]) for e in EVENTS)
    same("traffic/bots", WEEK, [{"events": len(bots), "all_events": everything, "share": len(bots) / everything}])


def check_stock():
    at, rows = time("2025-03-31T00:00:00Z"), []
    for product in ("mug", "kettle", "lamp"):
        levels = [e for e in EVENTS if e["event_type"] == "stock_level" and e["product_id"] == product]
        last = max(levels, key=lambda e: e["at"])
        sold = [(o.at, u) for o in ORDERS if o.cancelled_at is None for p, _, u, _ in o.lines if p == product and o.at <= at]
        since = sum(u for when, u in sold if when > last["at"])
        units = sum(u for when, u in sold if when > at - timedelta(days=7))
        out = sum(((nxt["at"] - e["at"]) / timedelta(days=1) for e, nxt in zip(levels, levels[1:]) if e["quantity"] <= 0), 0.0)
        rows.append({"product_id": product, "on_hand": last["quantity"] - since, "units": units, "days_in_stock": 7 - out,
                     "velocity": units / (7 - out), "days_of_cover": (last["quantity"] - since) * (7 - out) / units})
    same("inventory/stock", "at=2025-03-31T00:00:00Z window=7d", sorted(rows, key=lambda r: r["days_of_cover"]))


if __name__ == "__main__":
    for check in (check_sales, check_sessions, check_funnel, check_carts, check_customers, check_traffic, check_stock):
        check()
    print(f"{sum(CHECKED.values())} figures of {len(CHECKED)} metrics agree")
    sys.exit(0)
