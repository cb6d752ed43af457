"""Runs the query suite: every engine answers every query, in turns, and the answers are compared."""

import math
import statistics
import time
from datetime import date, datetime, timezone
from decimal import Decimal, InvalidOperation
from pathlib import Path

import pyarrow.parquet

from .queries import QUERIES, Query, render

# A query that takes long is not repeated for longer than this.
BUDGET_S = 90
LEAST_REPETITIONS = 3
# How far an approximate count may be off, and how far sums of floats or rounded quotients may.
APPROXIMATE, EXACT = 0.1, 1e-6


class Lane:
    """An engine on one storage: a column of the result."""

    def __init__(self, name: str, engine, events: str):
        self.name = name
        self.engine = engine
        self.events = events

    def run(self, query: Query, end: datetime, scratch: Path) -> tuple[float, list[tuple]]:
        """Milliseconds and the answer; for an export the answer is the number of rows in the file."""
        sql = render(query, self.engine.name, self.events, end)
        if query.export:
            path = scratch / f"{self.name.replace(' ', '_')}.parquet"
            path.unlink(missing_ok=True)
            started = time.perf_counter()
            self.engine.export(sql, path)
            elapsed = time.perf_counter() - started
            return elapsed * 1000, [(pyarrow.parquet.read_metadata(path).num_rows,)]
        started = time.perf_counter()
        rows = self.engine.query(sql)
        return (time.perf_counter() - started) * 1000, rows


def plain(value):
    """A value as every engine could have given it: text, None, or a Decimal for any number."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="milliseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (int, float, Decimal)):
        return Decimal(str(value))
    text = str(value)
    # Only a decimal reads as a number; ids like `1e5` must not.
    if text and text.lstrip("-").replace(".", "", 1).isdigit():
        try:
            return Decimal(text)
        except InvalidOperation:
            return text
    for shape in ("%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S"):
        try:
            return datetime.strptime(text, shape).isoformat(timespec="milliseconds")
        except ValueError:
            continue
    return text


def difference(left: list[tuple], right: list[tuple], tolerance: float) -> str | None:
    """The first place where two answers differ."""
    if len(left) != len(right):
        return f"{len(left)} rows and {len(right)} rows"
    for number, (a, b) in enumerate(zip(left, right, strict=True)):
        for x, y in zip(map(plain, a), map(plain, b), strict=True):
            if isinstance(x, Decimal) and isinstance(y, Decimal):
                if not math.isclose(x, y, rel_tol=tolerance, abs_tol=1e-4):
                    return f"row {number}: {x} and {y}"
            elif x != y:
                return f"row {number}: {x} and {y}"
    return None


def in_order(query: Query, rows: list[tuple]) -> list[tuple]:
    """Engines place nulls and equal sort keys differently; the comparison does not care."""
    if "ORDER BY" not in query.text("tideline") or query.name in {"conversion_by_source", "country_os"}:
        return sorted(rows, key=lambda row: [str(plain(value)) for value in row])
    return rows


def run(lanes: list[Lane], end: datetime, repetitions: int, scratch: Path, only: list[str] | None = None,
        say=print) -> list[dict]:
    """Every query (or those of these names) in every lane, interleaved; the first round warms up and gives the answers to compare."""
    results = []
    for query in QUERIES:
        if only and query.name not in only:
            continue
        answers, times, errors = {}, {lane.name: [] for lane in lanes}, {}
        for lane in lanes:
            try:
                answers[lane.name] = in_order(query, lane.run(query, end, scratch)[1])
            except Exception as error:  # noqa: BLE001 - an engine that cannot answer is a result
                errors[lane.name] = str(error)[:500]
        started = time.monotonic()
        for repetition in range(repetitions):
            if repetition >= LEAST_REPETITIONS and time.monotonic() - started > BUDGET_S:
                break
            for lane in lanes:
                if lane.name not in errors:
                    times[lane.name].append(lane.run(query, end, scratch)[0])
        result = {
            "name": query.name,
            "title": query.title,
            "rows": {name: len(rows) for name, rows in answers.items()},
            "ms": {name: spread(values) for name, values in times.items() if values},
            "errors": errors,
            "differences": compare(query, answers),
        }
        say("  " + "  ".join([f"{query.name:22}"] + [f"{n} {v['median']:.1f}" for n, v in result["ms"].items()]))
        for name, problem in [*result["differences"].items(), *errors.items()]:
            say(f"    {name}: {problem}")
        results.append(result)
    return results


def compare(query: Query, answers: dict[str, list[tuple]]) -> dict[str, str]:
    """Lanes whose answer differs from the first lane's, and where."""
    names = list(answers)
    tolerance = APPROXIMATE if query.approximate else EXACT
    found = {name: difference(answers[names[0]], answers[name], tolerance) for name in names[1:]}
    return {name: where for name, where in found.items() if where}


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": len(values)}
