"""Every metric a second time: `METRICS[name](shop, asked)` gives the rows of `GET /analytics/name`, all columns, in order.
`asked` holds the parameters by name, already as dates, moments and spans (see `Asked`)."""

from collections import defaultdict
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from facts import NONE, PLACES, UTC

HOUR, MS = timedelta(hours=1), timedelta(milliseconds=1)
STEPS = ["product_view", "add_to_cart", "checkout_start", "purchase"]
METRICS = {}


def metric(name):
    def keep(function):
        METRICS[name] = function
        return function
    return keep


class Asked:
    """The parameters of a request, and what they select."""

    def __init__(self, shop, values):
        self.shop, self.values = shop, values
        if "start" in values:
            self.begin, self.end = shop.midnight(values["start"]), shop.midnight(values["end"] + timedelta(days=1))

    def __getattr__(self, name):
        return self.values.get(name)

    def within(self, at):
        return self.begin <= at < self.end

    def takes(self, thing, *names):
        """Whether a thing has what the parameters of these names ask for."""
        return all(self.values.get(name) in (None, getattr(thing, name)) for name in names)

    def is_user(self, thing):
        return self.user_id in (None, thing.user_id, thing.anonymous_id)

    def visits(self):
        """Visits that began in the period and are what is asked for."""
        return [v for v in self.shop.visits.values()
                if self.within(v.begin) and self.takes(v, "country", "channel", "source", "device") and self.is_user(v)]

    def named(self, thing):
        return getattr(thing, self.by) if self.by in PLACES else "all"


def quantile(values, share):
    """Linear between the two nearest; null of nothing."""
    if not values:
        return None
    values = sorted(values)
    at = share * (len(values) - 1)
    low = int(at)
    return values[low] + (values[min(low + 1, len(values) - 1)] - values[low]) * (at - low)


def ratio(part, whole):
    return part / whole if whole else None


def cents(value, over=1):
    """Four decimals, halves away from zero."""
    if not over:
        return None
    exact = Fraction(value) / over
    return (Decimal(exact.numerator) / Decimal(exact.denominator)).quantize(Decimal("0.0001"), ROUND_HALF_UP)


def total(things, name):
    return sum((getattr(thing, name) for thing in things), NONE)


def grouped(things, key):
    groups = defaultdict(list)
    for thing in things:
        groups[key(thing)].append(thing)
    return groups


def distinct(things, name):
    return len({getattr(thing, name) for thing in things} - {None})


def last_text(value):
    """Sorts nulls last, texts by their code points as UTF-8 bytes are."""
    return (value is None, value or "")


# Sales


def sums(orders, refunds):
    kept = [order for order in orders if order.counts]
    gross, discounts, order_value = total(kept, "gross"), total(kept, "discount"), total(kept, "value")
    net, shipping, tax = gross - discounts - refunds, total(kept, "shipping"), total(kept, "tax")
    return {
        "orders": len(kept), "gross": gross, "discounts": discounts, "refunds": refunds, "net": net, "shipping": shipping,
        "tax": tax, "total": net + shipping + tax, "order_value": order_value, "aov": cents(order_value, len(kept)),
        "units": sum(order.units for order in kept), "buyers": distinct(kept, "visitor"),
        "cancelled_orders": sum(order.cancelled for order in orders), "duplicate_orders": sum(order.repeats for order in kept),
        "foreign_orders": sum(order.foreign and not order.cancelled for order in orders),
    }


def visited(row, visitors):
    return row | {"visitors": visitors, "revenue_per_visitor": cents(row["net"], visitors)}


def of_sales(shop, asked):
    """Orders, refunds and events that a question about sales is of."""
    of = lambda thing: asked.takes(thing, "country") and asked.user_id in (None, thing.visitor)  # noqa: E731
    orders = [order for order in shop.orders if asked.within(order.at) and of(order)]
    refunds = [refund for refund in shop.refunds if asked.within(refund.at) and of(refund) and not refund.foreign]
    return orders, refunds, [event for event in shop.human if asked.within(event.at) and of(event)]


def by_time(shop, asked, name, key):
    groups = [grouped(things, lambda thing: key(thing.at)) for things in of_sales(shop, asked)]
    for at in sorted(set().union(*groups)):
        orders, refunds, events = (group.get(at, []) for group in groups)
        yield {name: at} | visited(sums(orders, total(refunds, "amount")), distinct(events, "visitor"))


@metric("sales/daily")
def sales_daily(shop, asked):
    return list(by_time(shop, asked, "day", shop.day))


@metric("sales/hourly")
def sales_hourly(shop, asked):
    rows = by_time(shop, asked, "hour", lambda at: at.replace(minute=0, second=0, microsecond=0))
    return [row | {"local": row["hour"].astimezone(shop.zone).strftime("%Y-%m-%d %H:%M")} for row in rows]


@metric("sales/summary")
def sales_summary(shop, asked):
    orders, refunds, events = of_sales(shop, asked)
    back = {o.visitor for o in orders if o.counts and o.visitor and shop.customers[o.visitor][0].at < asked.begin}
    row = visited(sums(orders, total(refunds, "amount")), distinct(events, "visitor"))
    return [row | {"returning_buyers": len(back), "returning_rate": ratio(len(back), row["buyers"])}]


@metric("sales/order-date")
def sales_order_date(shop, asked):
    orders = [order for order in shop.orders if asked.within(order.at) and asked.takes(order, "country")]
    days = grouped(orders, lambda order: shop.day(order.at))
    return [{"day": day, **sums(mine, total([o for o in mine if o.counts], "refunded"))} for day, mine in sorted(days.items())]


@metric("sales/hours-of-day")
def sales_hours_of_day(shop, asked):
    orders = [order for order in shop.orders if asked.within(order.at) and order.counts]
    hours = grouped(orders, lambda order: order.at.astimezone(shop.zone).hour)
    return [{"hour": hour, "orders": len(mine), "gross": total(mine, "gross"), "order_value": total(mine, "value")}
            for hour, mine in sorted(hours.items())]


@metric("sales/by")
def sales_by(shop, asked):
    def name(order):
        if asked.by == "customer":
            return "unknown" if order.visitor is None else "new" if order.first_order else "returning"
        return getattr(shop.visits.get(order.session_id, order), asked.by)

    orders = grouped([order for order in shop.orders if asked.within(order.at) and order.counts], name)
    visits = grouped([] if asked.by == "customer" else asked.visits(), asked.named)
    columns = ("orders", "gross", "discounts", "refunds", "net", "total", "order_value", "aov", "units", "buyers")
    rows = []
    for name in set(orders) | set(visits):
        row = sums(orders.get(name, []), total(orders.get(name, []), "refunded"))
        rows.append({"name": name, **{column: row[column] for column in columns}, "sessions": len(visits.get(name, []))})
    return sorted(rows, key=lambda row: (-row["gross"], -row["sessions"], *last_text(row["name"])))


def of_lines(lines):
    gross, discounts = total([line for line, _ in lines], "amount"), sum((line.discount for line, _ in lines), Fraction(0))
    return {"gross": gross, "discounts": cents(discounts), "net": gross - cents(discounts),
            "units": sum(line.units for line, _ in lines), "orders": len({order.key for _, order in lines}),
            "buyers": len({order.visitor for _, order in lines} - {None})}


def sold_lines(shop, asked, *names):
    return [(line, order) for order in shop.orders if asked.within(order.at) and order.counts and asked.takes(order, *names)
            for line in order.lines]


@metric("sales/by-category")
def sales_by_category(shop, asked):
    groups = grouped(sold_lines(shop, asked, "country"), lambda sold: getattr(sold[0], asked.by))
    return sorted(({"name": name, **of_lines(lines)} for name, lines in groups.items()),
                  key=lambda row: (-row["gross"], *last_text(row["name"])))


def latest_said(lines, name, key):
    return next((getattr(line, name) for line in sorted(lines, key=key, reverse=True) if getattr(line, name) is not None), None)


@metric("sales/top-products")
def sales_top_products(shop, asked):
    rows = []
    for product, lines in grouped(sold_lines(shop, asked, "country"), lambda sold: sold[0].product_id).items():
        keys = {id(line): (line.at, order.key) for line, order in lines}
        said = {name: latest_said([line for line, _ in lines], name, lambda line: keys[id(line)]) for name in ("name", "category", "brand")}
        if product is not None and asked.category in (None, said["category"]):
            rows.append({"product_id": product, "product_name": said["name"], "category": said["category"],
                         "brand": said["brand"], **of_lines(lines)})
    return sorted(rows, key=lambda row: (-row[asked.order], row["product_id"]))[:asked.limit]


@metric("sales/ledger")
def sales_ledger(shop, asked):
    booked = defaultdict(list)
    for order in shop.orders:
        entry = {"gross": order.gross, "discounts": order.discount, "refunds": NONE, "shipping": order.shipping, "tax": order.tax}
        if not order.foreign and asked.within(order.at):
            booked[shop.day(order.at), "order"].append(entry)
        if not order.foreign and order.cancelled and asked.within(max(order.at, order.cancelled_at)):
            back = {name: -amount for name, amount in entry.items()}
            booked[shop.day(max(order.at, order.cancelled_at)), "cancellation"].append(back)
    for refund in shop.refunds:
        if asked.within(refund.at) and not refund.foreign:
            nothing = dict.fromkeys(("gross", "discounts", "shipping", "tax"), NONE)
            booked[shop.day(refund.at), "refund"].append({**nothing, "refunds": refund.amount})
    rows = []
    for (day, entry), entries in sorted(booked.items()):
        row = {name: sum((e[name] for e in entries), NONE) for name in entries[0]}
        row["net"] = row["gross"] - row["discounts"] - row["refunds"]
        rows.append({"day": day, "entry": entry, "entries": len(entries), **row, "total": row["net"] + row["shipping"] + row["tax"]})
    return rows


@metric("sales/attribution")
def sales_attribution(shop, asked):
    touches = grouped(shop.visits.values(), lambda visit: visit.visitor)
    given = defaultdict(list)
    for order in shop.orders:
        if asked.within(order.at) and order.counts:
            mine = [v for v in touches.get(order.visitor, []) if order.visitor and order.at - asked.lookback <= v.begin <= order.at]
            earning = [v for v in mine if v.channel not in (None, "direct")] or mine
            earning.sort(key=lambda v: (v.begin if asked.model == "first" else order.at - v.begin, v.session_id))
            given[getattr(earning[0], asked.by) if earning else None].append(order)
    rows = [{"name": name, "orders": len(orders), "gross": total(orders, "gross"), "net": total(orders, "net"),
             "order_value": total(orders, "value")} for name, orders in given.items()]
    return sorted(rows, key=lambda row: (-row["gross"], *last_text(row["name"])))


# Visits


def rates(visits):
    n = len(visits)
    adding, converted, bounced = (sum(map(bool, flags)) for flags in (
        [v.count("add_to_cart") for v in visits], [v.converted for v in visits], [v.bounced for v in visits]))
    return {"sessions": n, "viewing_sessions": sum(v.count("product_view") > 0 for v in visits), "adding_sessions": adding,
            "checkout_sessions": sum(v.checked_out for v in visits), "converted_sessions": converted,
            "bounced_sessions": bounced, "conversion_rate": ratio(converted, n), "add_to_cart_rate": ratio(adding, n),
            "bounce_rate": ratio(bounced, n)}


def by_name(asked, visits, of, count="sessions"):
    rows = [{"name": name, **of(mine)} for name, mine in grouped(visits, asked.named).items()]
    return sorted(rows, key=lambda row: (-row[count], *last_text(row["name"])))


@metric("conversion/rates")
def conversion_rates(shop, asked):
    return by_name(asked, asked.visits(), rates)


@metric("conversion/daily")
def conversion_daily(shop, asked):
    days = grouped(asked.visits(), lambda visit: shop.day(visit.begin))
    return [{"day": day, **rates(visits)} for day, visits in sorted(days.items())]


@metric("checkout/completion")
def checkout_completion(shop, asked):
    def done(visit):
        begun = visit.of("checkout_start", "checkout_step")[0].at
        return any(event.at >= begun for event in visit.of("purchase"))

    def of(visits):
        completed = sum(map(done, visits))
        return {"started": len(visits), "completed": completed, "abandoned": len(visits) - completed,
                "completion_rate": ratio(completed, len(visits))}

    return by_name(asked, [visit for visit in asked.visits() if visit.checked_out], of, "started")


@metric("sessions/summary")
def sessions_summary(shop, asked):
    def of(visits):
        n, durations, depths = len(visits), [v.ms for v in visits], [v.count("page_view") for v in visits]
        bounced = sum(v.bounced for v in visits)
        return {"sessions": n, "visitors": distinct(visits, "visitor"), "events": sum(len(v.events) for v in visits),
                "page_views": sum(depths), "duration_ms": sum(durations), "duration_ms_avg": sum(durations) / n,
                "duration_ms_p50": quantile(durations, 0.5), "duration_ms_p90": quantile(durations, 0.9),
                "depth_avg": sum(depths) / n, "depth_p50": quantile(depths, 0.5), "bounced_sessions": bounced,
                "bounce_rate": bounced / n}

    return by_name(asked, asked.visits(), of)


@metric("sessions/list")
def sessions_list(shop, asked):
    bought = grouped([order for order in shop.orders if not order.cancelled], lambda order: order.session_id)
    rows = []
    for v in asked.visits():
        orders = bought.get(v.session_id, [])
        ours = [order for order in orders if not order.foreign]
        adds, purchases = v.of("add_to_cart"), v.of("purchase")
        rows.append({
            "session_id": v.session_id, "visitor": v.visitor, "started_at": v.begin, "ended_at": v.end, "duration_ms": v.ms,
            "events": len(v.events), "page_views": v.count("page_view"), "product_views": v.count("product_view"),
            "product_list_views": v.count("product_list_view"), "add_to_carts": len(adds),
            "remove_from_carts": v.count("remove_from_cart"), "checkout_steps": v.count("checkout_start", "checkout_step"),
            "purchases": len(purchases), "entry_page": v.entry, "exit_page": v.exit, "channel": v.channel,
            "utm_source": v.source, "utm_campaign": v.campaign, "country": v.country, "device": v.device,
            "bounced": v.bounced, "converted": v.converted,
            "cart_abandoned": (not purchases or purchases[-1].at < adds[-1].at) if adds else None,
            "checkout_succeeded": v.converted if v.checked_out else None, "orders": len(ours),
            "foreign_orders": len(orders) - len(ours), "revenue": total(ours, "value")})
    return sorted(rows, key=lambda row: (-row["started_at"].timestamp(), row["session_id"]))[:asked.limit]


def sourced(visits):
    converted = sum(v.converted for v in visits)
    return {"sessions": len(visits), "visitors": distinct(visits, "visitor"), "converted_sessions": converted,
            "conversion_rate": ratio(converted, len(visits))}


@metric("traffic/channels")
def traffic_channels(shop, asked):
    groups = grouped(asked.visits(), lambda visit: visit.channel)
    rows = [{"channel": channel, **sourced(visits), "bounced_sessions": sum(v.bounced for v in visits)}
            for channel, visits in groups.items()]
    return sorted(rows, key=lambda row: (-row["sessions"], *last_text(row["channel"])))


@metric("traffic/sources")
def traffic_sources(shop, asked):
    names = ("channel", "source", "medium", "campaign")
    groups = sorted(grouped(asked.visits(), lambda visit: tuple(getattr(visit, name) for name in names)).items(),
                    key=lambda group: (-len(group[1]), *map(last_text, group[0])))
    return [dict(zip(("channel", "utm_source", "utm_medium", "utm_campaign"), key)) | sourced(visits)
            for key, visits in groups][:asked.limit]


def edges(asked, name):
    groups = grouped([visit for visit in asked.visits() if getattr(visit, name)], lambda visit: getattr(visit, name))
    every = sum(map(len, groups.values()))
    rows = []
    for page, visits in groups.items():
        bounced = sum(visit.bounced for visit in visits)
        rows.append({"page": page, "sessions": len(visits), "bounced_sessions": bounced, "bounce_rate": bounced / len(visits),
                     "all_sessions": every, "share": len(visits) / every})
    return sorted(rows, key=lambda row: (-row["sessions"], row["page"]))[:asked.limit]


@metric("traffic/entries")
def traffic_entries(shop, asked):
    return edges(asked, "entry")


@metric("traffic/exits")
def traffic_exits(shop, asked):
    return edges(asked, "exit")


# Events


def of_traffic(shop, asked, *types):
    return [event for event in shop.human if asked.within(event.at) and asked.takes(event, "country", "device", "page")
            and asked.is_user(event) and (not types or event.type in types)]


def seen(events):
    return {"visitors": distinct(events, "visitor"), "sessions": distinct(events, "session_id")}


@metric("traffic/daily")
def traffic_daily(shop, asked):
    days = grouped(of_traffic(shop, asked), lambda event: shop.day(event.at))
    return [{"day": day, "page_views": sum(e.type == "page_view" for e in events), "events": len(events), **seen(events)}
            for day, events in sorted(days.items())]


@metric("traffic/pages")
def traffic_pages(shop, asked):
    pages = grouped([event for event in of_traffic(shop, asked, "page_view") if event.page], lambda event: event.page)
    rows = [{"page": page, "views": len(events), **seen(events)} for page, events in pages.items()]
    return sorted(rows, key=lambda row: (-row["views"], row["page"]))[:asked.limit]


@metric("traffic/page")
def traffic_page(shop, asked):
    starts = {"day": lambda at: shop.midnight(shop.day(at)), "hour": lambda at: at.replace(minute=0, second=0, microsecond=0),
              "minute": lambda at: at.replace(second=0, microsecond=0)}
    buckets = grouped(of_traffic(shop, asked, "page_view"), lambda event: starts[asked.bucket](event.at))
    return [{"bucket_start": at, "views": len(events), **seen(events),
             "load_ms_p50": quantile([e.load_ms for e in events if e.load_ms is not None], 0.5)}
            for at, events in sorted(buckets.items())]


@metric("traffic/load-times")
def traffic_load_times(shop, asked):
    pages = grouped([event for event in of_traffic(shop, asked) if event.load_ms is not None], lambda event: event.page)
    rows = []
    for page, events in pages.items():
        times = [event.load_ms for event in events]
        rows.append({"page": page, "measured": len(times), "load_ms_max": max(times),
                     **{f"load_ms_p{share}": quantile(times, share / 100) for share in (50, 75, 95)}})
    return sorted(rows, key=lambda row: (-row["measured"], *last_text(row["page"])))[:asked.limit]


@metric("traffic/bots")
def traffic_bots(shop, asked):
    everything = [event for event in shop.events if asked.within(event.at)]
    agents = grouped([event for event in everything if event.bot], lambda event: event.user_agent)
    rows = [{"user_agent": agent, "events": len(events), "sessions": distinct(events, "session_id"),
             "page_views": sum(e.type == "page_view" for e in events), "all_events": len(everything),
             "share": len(events) / len(everything)} for agent, events in agents.items()]
    return sorted(rows, key=lambda row: (-row["events"], *last_text(row["user_agent"])))[:asked.limit]


@metric("traffic/events")
def traffic_events(shop, asked):
    events = [event for event in shop.human if asked.at - asked.since < event.at <= asked.at and asked.is_user(event)
              and asked.event_type in (None, event.type)]
    whole = {"microsecond": 0} if asked.bucket == "second" else {"second": 0, "microsecond": 0}
    buckets = grouped(events, lambda event: (event.at.replace(**whole), event.type))
    return [{"bucket_start": at, "event_type": kind, "events": len(mine),
             "per_second": len(mine) / (1 if asked.bucket == "second" else 60)} for (at, kind), mine in sorted(buckets.items())]


@metric("users/active")
def users_active(shop, asked):
    window, rows = timedelta(minutes=asked.minutes), []
    for number in range(asked.points):
        until = asked.at - number * window
        # What had come by then and is stamped up to five minutes ahead counts as now.
        early = [e for e in shop.human if number == 0 and asked.at < e.at <= asked.at + timedelta(minutes=5) and e.received <= asked.at]
        mine = [e for e in [*shop.human, *early] if (until - window < e.at <= until or e in early)
                and asked.takes(e, "country", "device")]
        mine = list({event.seq: event for event in mine}.values())
        rows.append({"at": until, "active_users": distinct(mine, "visitor"), "active_sessions": distinct(mine, "session_id"),
                     "events": len(mine)})
    return rows


@metric("users/retention")
def users_retention(shop, asked):
    monday = lambda at: (lambda day: day - timedelta(days=day.weekday()))(shop.day(at))  # noqa: E731
    weeks = grouped({(e.visitor, monday(e.at)) for e in shop.human if asked.within(e.at) and e.visitor}, lambda pair: pair[0])
    cells = grouped([(min(w for _, w in mine), week) for mine in weeks.values() for _, week in mine], lambda cell: cell)
    sizes = {begin: len(mine) for (begin, week), mine in cells.items() if begin == week}
    return [{"cohort": begin, "k": (week - begin).days // 7, "visitors": len(mine), "cohort_size": sizes[begin],
             "retention_rate": len(mine) / sizes[begin]} for (begin, week), mine in sorted(cells.items())]


def pairs(shop):
    return grouped([e for e in shop.human if e.user_id and e.anonymous_id], lambda e: (e.user_id, e.anonymous_id))


@metric("users/identities")
def users_identities(shop, asked):
    known = pairs(shop)
    users = grouped(known, lambda pair: pair[1])
    rows = []
    for (user, anonymous), events in known.items():
        first, last = min(e.at for e in events), max(e.at for e in events)
        if last >= asked.begin and first < asked.end and asked.user_id in (None, user, anonymous):
            rows.append({"user_id": user, "anonymous_id": anonymous, "first_seen_at": first, "last_seen_at": last,
                         "events": len(events), "identifications": sum(e.type in ("identify", "alias") for e in events),
                         "users_of_anonymous_id": len(users[anonymous])})
    return sorted(rows, key=lambda row: (row["first_seen_at"], row["user_id"], row["anonymous_id"]))[:asked.limit]


@metric("users/journey")
def users_journey(shop, asked):
    linked = {anonymous for user, anonymous in pairs(shop) if user == asked.user_id}
    mine = [e for e in shop.human if asked.within(e.at) and (asked.user_id in (e.user_id, e.anonymous_id)
                                                           or (e.user_id is None and e.anonymous_id in linked))]
    return [{"event_ts": e.at, "event_type": e.type, "session_id": e.session_id, "page": e.page, "channel": e.channel,
             "utm_source": e.source, "utm_campaign": e.campaign, "product_id": e.product_id, "price": e.price,
             "quantity": e.quantity, "order_id": e.order_id, "revenue": e.revenue, "user_id": e.user_id,
             "anonymous_id": e.anonymous_id, "stitched": e.user_id is None and e.anonymous_id != asked.user_id,
             "event_id": e.id} for e in sorted(mine, key=lambda e: (e.at, e.seq))][:asked.limit]


# Funnels and carts


def actors(shop, asked, until):
    """The events of the four steps of each actor, from the period's begin on."""
    mine = [e for e in shop.human if asked.begin <= e.at < until and e.type in STEPS and asked.is_user(e)]
    stories = grouped(mine, lambda e: e.visitor if asked.actor == "user" else e.session_id)
    stories.pop(None, None)
    return [sorted(story, key=lambda e: (e.at, e.seq)) for story in stories.values()]


def stepped(walks):
    """Rows of a funnel from (name, times from the first step to each step reached)."""
    rows = []
    for name, mine in grouped(walks, lambda walk: walk[0]).items():
        reached = [[times[n] for _, times in mine if len(times) > n] for n in range(4)]
        for n, step in enumerate(STEPS):
            actors, entered, previous = len(reached[n]), len(reached[0]), len(reached[n - 1]) if n else None
            rows.append({"name": name, "step": n + 1, "event_type": step, "actors": actors, "entered": entered,
                         "previous": previous, "step_rate": ratio(actors, previous) if n else None,
                         "overall_rate": ratio(actors, entered), "drop_off": previous - actors if n else None,
                         "ms_p50": quantile(reached[n], 0.5) if n else None, "ms_p90": quantile(reached[n], 0.9) if n else None})
    return sorted(rows, key=lambda row: (-row["entered"], *last_text(row["name"]), row["step"]))


@metric("funnel/ordered")
def funnel_ordered(shop, asked):
    walks = []
    for story in actors(shop, asked, asked.end + asked.window):
        views = [event for event in story if event.type == STEPS[0]]
        if not views or views[0].at >= asked.end:
            continue
        begin = at = views[0].at
        times = [0]
        for step in STEPS[1:]:
            at = min((e.at for e in story if e.type == step and at <= e.at <= begin + asked.window), default=None)
            if at is None:
                break
            times.append((at - begin) // MS)
        walks.append((asked.named(views[0]), times))
    return stepped(walks)


@metric("funnel/strict")
def funnel_strict(shop, asked):
    walks = []
    for story in actors(shop, asked, asked.end + asked.window):
        # Steps at the same moment are in their order; the same kind again is no other step.
        story.sort(key=lambda e: (e.at, STEPS.index(e.type), e.seq))
        runs = [event for n, event in enumerate(story) if n == 0 or story[n - 1].type != event.type]
        tries = []
        for n, view in enumerate(runs):
            if view.type == STEPS[0] and view.at < asked.end:
                times = [0]
                for step, event in zip(STEPS[1:], runs[n + 1:]):
                    if event.type != step or event.at > view.at + asked.window:
                        break
                    times.append((event.at - view.at) // MS)
                tries.append((asked.named(view), times))
        if tries:
            walks.append(max(tries, key=lambda walk: len(walk[1])))
    return stepped(walks)


@metric("funnel/any-order")
def funnel_any_order(shop, asked):
    rows = []
    for name, stories in grouped(actors(shop, asked, asked.end), lambda story: asked.named(story[0])).items():
        for n, step in enumerate(STEPS):
            mine = sum(any(event.type == step for event in story) for story in stories)
            rows.append({"name": name, "step": n + 1, "event_type": step, "actors": mine, "entered": len(stories),
                         "overall_rate": ratio(mine, len(stories))})
    return sorted(rows, key=lambda row: (-row["entered"], *last_text(row["name"]), row["step"]))


@metric("carts/abandonment")
def carts_abandonment(shop, asked):
    def of(carts):
        closed = [cart for cart in carts if cart.begin + asked.window <= asked.at]
        bought = [cart for cart in carts if cart.ordered and cart.ordered <= min(cart.begin + asked.window, asked.at)]
        ordered = sum(cart in bought for cart in closed)
        return {"carts": len(carts), "closed": len(closed), "ordered": ordered, "abandoned": len(closed) - ordered,
                "open": len(carts) - len(closed), "open_ordered": len(bought) - ordered,
                "abandonment_rate": ratio(len(closed) - ordered, len(closed))}

    return by_name(asked, [c for c in shop.carts if asked.within(c.begin) and c.begin <= asked.at and not c.bot], of, "carts")


# Customers


def period(shop, grain, at):
    day = shop.day(at)
    return {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}[grain]


def apart(grain, begin, later):
    if grain == "month":
        return (later.year - begin.year) * 12 + later.month - begin.month
    return (later - begin).days // 7


def cohorts(shop, asked):
    """(cohort, its customers' orders), of customers whose first order is in the period."""
    mine = [orders for orders in shop.customers.values() if asked.within(orders[0].at)]
    return sorted(grouped(mine, lambda orders: period(shop, asked.grain, orders[0].at)).items())


@metric("customers/cohorts")
def customers_cohorts(shop, asked):
    rows = []
    for cohort, customers in cohorts(shop, asked):
        came = grouped({(apart(asked.grain, cohort, period(shop, asked.grain, o.at)), o.visitor) for orders in customers
                        for o in orders}, lambda pair: pair[0])
        rows += [{"cohort": cohort, "k": k, "customers": len(pairs), "cohort_size": len(customers),
                  "retention_rate": len(pairs) / len(customers)} for k, pairs in sorted(came.items())]
    return rows


@metric("customers/ltv")
def customers_ltv(shop, asked):
    rows = []
    for cohort, customers in cohorts(shop, asked):
        spent = grouped([o for orders in customers for o in orders if not o.foreign],
                        lambda o: apart(asked.grain, cohort, period(shop, asked.grain, o.at)))
        cumulative = NONE
        for k, orders in sorted(spent.items()):
            cumulative += total(orders, "net")
            rows.append({"cohort": cohort, "k": k, "cohort_size": len(customers), "orders": len(orders),
                         "net": total(orders, "net"), "net_cumulative": cumulative, "ltv": cents(cumulative, len(customers))})
    return rows


@metric("customers/retention")
def customers_retention(shop, asked):
    orders = [o for orders in shop.customers.values() for o in orders if asked.within(o.at)]
    rows = []
    for begin, mine in sorted(grouped(orders, lambda o: period(shop, asked.grain, o.at)).items()):
        buyers = {o.visitor for o in mine}
        back = sum(shop.customers[buyer][0].at < shop.midnight(begin) for buyer in buyers)
        rows.append({"period": begin, "buyers": len(buyers), "returning_buyers": back, "new_buyers": len(buyers) - back,
                     "returning_rate": back / len(buyers)})
    return rows


def scored(shop, asked):
    rows = []
    for visitor, orders in shop.customers.items():
        mine = [order for order in orders if order.at <= asked.at]
        if mine:
            days = (shop.day(asked.at) - shop.day(max(order.at for order in mine))).days
            rows.append({"visitor": visitor, "days_since": days, "orders": len(mine),
                         "net": total([order for order in mine if not order.foreign], "net")})
    for score, key in (("recency", lambda r: -r["days_since"]), ("frequency", lambda r: r["orders"]), ("monetary", lambda r: r["net"])):
        ranked = sorted(rows, key=lambda row: (key(row), row["visitor"]))
        # Fifths of one size; the first take what is left over.
        size, more = divmod(len(ranked), 5)
        for place, row in enumerate(ranked):
            large = more * (size + 1)
            row[score] = 1 + (place // (size + 1) if place < large else more + (place - large) // size)
    return rows


@metric("customers/rfm")
def customers_rfm(shop, asked):
    return sorted(scored(shop, asked), key=lambda r: (-(r["recency"] + r["frequency"] + r["monetary"]), -r["net"], r["visitor"])
                  )[:asked.limit]


@metric("customers/rfm-segments")
def customers_rfm_segments(shop, asked):
    cells = grouped(scored(shop, asked), lambda row: (row["recency"], row["frequency"], row["monetary"]))
    return [{"recency": r, "frequency": f, "monetary": m, "customers": len(rows), "orders": sum(row["orders"] for row in rows),
             "net": sum(row["net"] for row in rows)} for (r, f, m), rows in sorted(cells.items(), reverse=True)]


@metric("customers/time-to-purchase")
def customers_time_to_purchase(shop, asked):
    views = grouped([e for e in shop.human if e.type == "product_view"], lambda e: e.visitor)
    firsts, times = [orders[0] for orders in shop.customers.values() if asked.within(orders[0].at)], []
    for order in firsts:
        mine = [e.at for e in views.get(order.visitor, []) if order.at - asked.lookback <= e.at <= order.at]
        times += [(order.at - min(mine)) // MS] if mine else []
    return [{"customers": len(firsts), "with_view": len(times), "without_view": len(firsts) - len(times),
             "ms_p50": quantile(times, 0.5), "ms_p90": quantile(times, 0.9)}]


@metric("customers/top")
def customers_top(shop, asked):
    orders = [o for o in shop.orders if asked.within(o.at) and o.counts and o.visitor]
    rows = [{"visitor": visitor, "orders": len(mine), "gross": total(mine, "gross"), "net": total(mine, "net"),
             "order_value": total(mine, "value"), "first_order_at": min(o.at for o in mine), "last_order_at": max(o.at for o in mine)}
            for visitor, mine in grouped(orders, lambda o: o.visitor).items()]
    return sorted(rows, key=lambda row: (-row["gross"], row["visitor"]))[:asked.limit]


# Products and stock


@metric("products/performance")
def products_performance(shop, asked):
    kinds = ("product_view", "add_to_cart", "remove_from_cart", "purchase", "refund")
    lines = grouped([line for event in shop.human if asked.within(event.at) and event.type in kinds for line in event.lines()],
                    lambda line: line.product_id)
    sold = grouped(sold_lines(shop, asked), lambda pair: pair[0].product_id)
    # A refund's lines are in its currency: its own words', else its order's.
    refunds = {refund.seq: refund for refund in shop.refunds}
    rows = []
    for product in (set(lines) | set(sold)) - {None}:
        mine, orders = lines.get(product, []), of_lines(sold.get(product, []))
        every = mine or [line for line, _ in sold[product]]
        name, category = (latest_said(every, n, lambda line: (line.at, line.seq)) for n in ("name", "category"))
        if asked.product_id not in (None, product) or asked.category not in (None, category):
            continue
        of = lambda kind: [line for line in mine if line.event.type == kind]  # noqa: E731
        viewing, buying = ({line.event.session_id for line in of(kind)} - {None} for kind in ("product_view", "purchase"))
        back = [line for line in of("refund") if line.seq in refunds and not refunds[line.seq].foreign]
        rows.append({"product_id": product, "product_name": name, "category": category, "views": len(of("product_view")),
                     "adds": len(of("add_to_cart")), "removes": len(of("remove_from_cart")), "orders": orders["orders"],
                     "units": orders["units"], "gross": orders["gross"], "discounts": orders["discounts"], "net": orders["net"],
                     "refunded": total(back, "amount"), "viewing_sessions": len(viewing),
                     "buying_sessions": len(viewing & buying), "purchase_rate": ratio(len(viewing & buying), len(viewing))})
    return sorted(rows, key=lambda row: (-row["gross"], -row["views"], row["product_id"]))[:asked.limit]


@metric("inventory/stock")
def inventory_stock(shop, asked):
    sold, rows = defaultdict(list), []
    for order in shop.orders:
        for line in order.lines if not order.cancelled and order.at <= asked.at else []:
            sold[line.product_id].append((order.at, line.units))
    levels = grouped([e for e in shop.events if e.type == "stock_level" and e.product_id and e.quantity is not None and e.at <= asked.at],
                     lambda e: e.product_id)
    begin = asked.at - asked.window
    for product, mine in levels.items():
        mine.sort(key=lambda e: (e.at, e.seq))
        last = mine[-1]
        since = sum(units for at, units in sold[product] if at > last.at)
        units = sum(units for at, units in sold[product] if at > begin)
        ends = [e.at for e in mine[1:]] + [asked.at]
        gone = sum((max(end, begin) - max(e.at, begin) for e, end in zip(mine, ends) if e.quantity <= 0), timedelta())
        days = (asked.window - gone) / timedelta(days=1)
        if asked.product_id in (None, product):
            rows.append({"product_id": product, "stock_level": last.quantity, "stock_at": last.at, "units_since": since,
                         "on_hand": last.quantity - since, "units": units, "days_in_stock": days, "velocity": ratio(units, days),
                         "days_of_cover": (last.quantity - since) * days / units if units else None})
    return sorted(rows, key=lambda r: (r["days_of_cover"] is None, r["days_of_cover"] or 0.0, r["product_id"]))[:asked.limit]


# Quality


@metric("quality/duplicates")
def quality_duplicates(shop, asked):
    days = grouped([order for order in shop.orders if asked.within(order.at)], lambda order: shop.day(order.at))
    rows = []
    for day, orders in sorted(days.items()):
        repeated = sum(order.repeats > 0 for order in orders)
        rows.append({"day": day, "orders": len(orders), "repeated_orders": repeated,
                     "duplicate_orders": sum(order.repeats for order in orders), "duplicate_rate": repeated / len(orders)})
    return rows


@metric("quality/freshness")
def quality_freshness(shop, asked):
    types = grouped([event for event in shop.events if event.at <= asked.at], lambda event: event.type)
    return [{"event_type": kind, "last_event_at": max(e.at for e in events), "last_received_at": max(e.received for e in events),
             "events": len(events), "received_last_hour": sum(asked.at - HOUR < e.received <= asked.at for e in events)}
            for kind, events in sorted(types.items())]


def hour_of(at):
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


@metric("quality/late")
def quality_late(shop, asked):
    hours = grouped([event for event in shop.events if asked.within(event.received)], lambda event: hour_of(event.received))
    rows = []
    for hour, events in sorted(hours.items()):
        late, lags = sum(e.received > e.at + asked.late_after for e in events), [(e.received - e.at) // MS for e in events]
        rows.append({"hour": hour, "events": len(events), "late": late, "late_rate": late / len(events),
                     "lag_ms_p50": quantile(lags, 0.5), "lag_ms_max": max(lags)})
    return rows


@metric("quality/rejected")
def quality_rejected(shop, asked):
    """`letters` of a shop are (received, source, field, code, status)."""
    mine = [(hour_of(at), *rest) for at, *rest in shop.letters if asked.within(at)]
    groups = grouped([key for key in mine if asked.code in (None, key[3]) and asked.status in (None, key[4])], lambda key: key)
    return [dict(zip(("hour", "source", "field", "code", "status"), key)) | {"events": len(same)}
            for key, same in sorted(groups.items(), key=lambda g: (g[0][0], *map(last_text, g[0][1:])))]
