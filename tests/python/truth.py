#!/usr/bin/env python3
"""Holds every metric against figures worked out without it (facts.py, figures.py): over data/week.ndjson against the
answers beside the metrics, and over shops made up at random (made_up.py) against `/analytics` of a real server, each
parameter tried. Every column of every row must be there and equal, money to its last decimal.

    .venv/bin/python tests/python/truth.py --tideline target/debug/tideline
    .venv/bin/python tests/python/truth.py --tideline … --seeds 100-199 --share 1 --keep-going
"""

import argparse
import csv
import io
import json
import re
import sys
import tempfile
import tomllib
from collections import defaultdict
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from random import Random
from urllib.parse import urlencode

from facts import Event, Shop, moment
from figures import METRICS, Asked
from made_up import PRODUCTS, MadeUp
from server import Server

ROOT = Path(__file__).resolve().parents[2]
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def headers():
    """What the metric files declare: name → parameter → declaration."""
    found = {}
    for path in sorted((ROOT / "queries").glob("*/*.sql")):
        lines = path.read_text().splitlines()
        head = [line[2:].removeprefix(" ") for line in lines[:next(n for n, line in enumerate(lines) if not line.startswith("--"))]]
        declared = tomllib.loads("\n".join(head)) if head and not path.parent.name == "views" and "summary" in head[0] else None
        if declared:
            found[f"{path.parent.name}/{path.stem}"] = declared.get("params", {})
    return found


def read(kind, value):
    """A parameter as figures.py takes it."""
    if kind == "date":
        return date.fromisoformat(value)
    if kind == "timestamp":
        return moment(value)
    if kind == "duration":
        return timedelta(**{UNITS[unit]: int(number) for number, unit in re.findall(r"(\d+)([smhdw])", value)})
    return int(value) if kind == "integer" else value


def asked(shop, params, given):
    values = {name: declared["default"] for name, declared in params.items() if "default" in declared} | given
    return Asked(shop, {name: read(params[name]["type"], value) for name, value in values.items()})


def differs(cell, wanted):
    """Whether a cell of CSV is not the value that was worked out."""
    if wanted is None or isinstance(wanted, str):
        return cell != (wanted or "")
    if isinstance(wanted, bool):
        return cell != str(wanted).lower()
    if isinstance(wanted, datetime):
        return cell != wanted.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.") + f"{wanted.microsecond // 1000:03}Z"
    if isinstance(wanted, date):
        return cell != wanted.isoformat()
    if isinstance(wanted, float):
        return cell == "" or abs(float(cell) - wanted) > 1e-9 * max(1.0, abs(wanted))
    return cell == "" or Decimal(cell) != wanted


class Checks:
    def __init__(self, keep_going):
        self.keep_going, self.figures, self.failed = keep_going, defaultdict(int), 0

    def compare(self, name, request, text, wanted):
        rows, what = list(csv.DictReader(io.StringIO(text))), f"{name} {request}"
        problem = None
        if len(rows) != len(wanted):
            keys = list(wanted[0] if wanted else rows[0])[:2]
            say = lambda rows: [tuple(str(row.get(key)) for key in keys) for row in rows[:12]]  # noqa: E731
            problem = f"{len(rows)} rows, expected {len(wanted)}: {say(rows)}, expected {say(wanted)}"
        for row, ours in zip(rows, wanted) if not problem else []:
            wrong = [f"{column} is {cell!r}, expected {ours.get(column, 'a figure of it')!s}" for column, cell in row.items()
                     if column not in ours or differs(cell, ours[column])]
            self.figures[name] += len(row)
            if wrong:
                problem = f"{'; '.join(wrong)} in {row}"
                break
        if problem:
            self.failed += 1
            print(f"truth: {what}: {problem}", file=sys.stderr, flush=True)
            if not self.keep_going:
                raise SystemExit(1)


def week(checks, declared):
    """data/week.ndjson, and the answers that stand beside the metrics."""
    lines = (ROOT / "data/week.ndjson").read_text().splitlines()
    now = moment("2026-03-09T12:00:00Z")
    shop = Shop([Event(json.loads(line), seq, now) for seq, line in enumerate(lines)], "Europe/Berlin", "EUR")
    for name in sorted(set(METRICS) & set(declared)):
        for block in (ROOT / f"queries/{name}.slt").read_text().split("\nmetric ")[1:]:
            request, _, answer = block.partition("\n----\n")
            assert request.startswith(name) and not answer.startswith("error"), request
            request = request.removeprefix(name).strip()
            given = dict(part.split("=", 1) for part in request.split())
            answer = re.split(r"\n(?=#|zone |now |query )", answer)[0]
            checks.compare(name, request, answer, METRICS[name](shop, asked(shop, declared[name], given)))


# Values for the parameters that take any text: some that are there, one that is not.
TEXTS = {
    "country": ["DE", "日本", "nowhere"], "channel": ["paid", "direct"], "source": ["google", "nobody"], "device": ["mobile", "desktop"],
    "user_id": ["u1", "josé", "a7", "nobody"], "category": ["Ünïcode", "none"], "product_id": [*PRODUCTS[:3], "none"],
    "page": ["/p/日本茶", "/none"], "event_type": ["purchase", "none"], "code": ["missing_field", "none"], "status": ["open", "none"],
}
DURATIONS = {"window": ["1d", "10m", "3d"], "lookback": ["30d", "2d"], "since": ["1h", "9d"], "late_after": ["10m", "300d"]}
NUMBERS = {"minutes": [5, 1440], "points": [12, 40], "limit": [10_000, 3]}


def requests(params, made, now, random, share):
    """Requests over spans chosen at random, and a share of those that try each value of each parameter."""
    def span():
        start = made.first + timedelta(days=random.randrange(-2, 18))
        return {"start": start.isoformat(), "end": (start + timedelta(days=random.choice([0, 1, 6, 20]))).isoformat()}

    def base():
        given = {}
        for name, declared in params.items():
            if name == "at":
                moments = [now, made.begin + timedelta(days=9, hours=random.randrange(24)), made.begin + timedelta(days=30)]
                given["at"] = random.choice(moments).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            elif name in NUMBERS:
                given[name] = str(NUMBERS[name][0])
            elif declared["type"] == "string" and not declared.get("optional"):
                given[name] = random.choice(TEXTS[name])
        return given | (span() if "start" in params else {})

    whole = {"start": (made.first - timedelta(days=1)).isoformat(), "end": (made.last + timedelta(days=10)).isoformat()}
    today = {"start": (now - timedelta(days=1)).date().isoformat(), "end": (now + timedelta(days=1)).date().isoformat()}
    # What happened then arrives today.
    spans = [whole, today] if "start" in params else [{}]
    for number, over in enumerate([*spans, {}]):
        if number < len(spans) or random.random() < share:
            yield base() | over
    for name, declared in params.items():
        values = declared.get("values") or TEXTS.get(name) or DURATIONS.get(name) or NUMBERS.get(name, [])
        for value in values:
            if random.random() < share:
                yield base() | (whole if "start" in params and random.random() < 0.5 else {}) | {name: str(value)}


def made_up(checks, declared, binary, seed, share):
    made = MadeUp(seed)
    sent, wrong = made.events()
    settings = [f"shop.time_zone={made.zone}", f"shop.currency={made.currency}", "flush.age=1h", "query.timeout=10m"]
    with tempfile.TemporaryDirectory(prefix="tideline-truth-") as folder, Server(binary, Path(folder) / "data", *settings) as server:
        accepted = 0
        for start in range(0, len(sent), 250):
            body = "\n".join(map(json.dumps, sent[start:start + 250])).encode()
            accepted += server.request("POST", "/events", body, "application/x-ndjson")["accepted"]
            # Of every other shop the most is in files.
            if seed % 2 and start == 1_000:
                server.request("POST", "/admin/flush")
        now = datetime.now(timezone.utc).replace(microsecond=0)
        for event in made.just_now(now):
            sent.append(event)
            accepted += server.request("POST", "/events", json.dumps(event).encode())["accepted"]

        def table(sql):
            return csv.DictReader(io.StringIO(server.text("POST", "/sql.csv", sql.encode(), "application/sql")))

        by_id = {event["event_id"]: event for event in sent}
        rows = list(table("SELECT event_id, seq, received_at FROM events ORDER BY seq"))
        letters = [(moment(row.pop("received_at")), *(value or None for value in row.values()))
                   for row in table("SELECT received_at, source, field, code, status FROM dead_letters")]
        assert len(rows) == accepted == len(by_id) - wrong and len(letters) == wrong, f"{accepted} accepted, {wrong} wrong"
        events = [Event(by_id[row["event_id"]], int(row["seq"]), moment(row["received_at"])) for row in rows]
        shop = Shop(events, made.zone, made.currency, letters)
        random = Random(seed)
        last = max(event.received for event in events) + timedelta(milliseconds=1)
        for name in sorted(set(METRICS) & set(declared)):
            params = declared[name]
            for given in requests(params, made, last, random, share):
                query = asked(shop, params, given)
                answer = server.text("GET", f"/analytics/{name}.csv?{urlencode(given)}")
                checks.compare(name, f"(seed {seed}) {given}", answer, METRICS[name](shop, query))
            # That one has a column `period` of its own, and cannot be compared.
            if "start" in params and name != "customers/retention" and random.random() < share:
                answer = server.text("GET", f"/analytics/{name}.csv?{urlencode(given | {'compare': 'previous'})}")
                checks.compare(name, f"(seed {seed}) {given} compared", answer, compared(shop, params, given, name))


def compared(shop, params, given, name):
    """The rows of a period, then those of the span of the same length just before."""
    first, last = date.fromisoformat(given["start"]), date.fromisoformat(given["end"])
    days = last - first + timedelta(days=1)
    before = given | {"start": (first - days).isoformat(), "end": (last - days).isoformat()}
    return [row | {"period": period} for period, of in (("current", given), ("previous", before))
            for row in METRICS[name](shop, asked(shop, params, of))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tideline", type=Path, required=True, help="the binary")
    parser.add_argument("--seeds", default="0-1", help="which made-up shops, like 0-9")
    parser.add_argument("--share", type=float, default=0.1, help="how many of the possible requests to try, 0 to 1")
    parser.add_argument("--keep-going", action="store_true", help="say everything that differs")
    arguments = parser.parse_args()
    checks, declared = Checks(arguments.keep_going), headers()
    first, _, last = arguments.seeds.partition("-")
    week(checks, declared)
    for seed in range(int(first), int(last or first) + 1):
        made_up(checks, declared, arguments.tideline.resolve(), seed, arguments.share)
    if checks.failed:
        return 1
    missing = sorted(set(declared) - set(METRICS))
    print(f"truth: {sum(checks.figures.values())} figures of {len(checks.figures)} metrics agree"
          + (f"; not worked out a second time: {', '.join(missing)}" if missing else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
