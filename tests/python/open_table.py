#!/usr/bin/env python3
"""Opens the table with deltalake, polars and pyarrow while a server writes, flushes and compacts it.

At every version all three must see the same rows, every row once, and exactly a prefix of the node's history: as
many rows as the highest `seq` says. At the end they must see what was acknowledged, and what SQL sees.
"""

import argparse
import json
import sys
import tempfile
import threading
import uuid
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import polars
from deltalake import DeltaTable

from server import Server

START = datetime(2024, 3, 1, 22, 0, tzinfo=timezone.utc)
BATCH = 250
# Versions the readers must have seen while the writer was at work, and when it gives up waiting for them.
VERSIONS, MOST_BATCHES = 6, 2_000
COLUMNS = ["event_id", "event_ts", "event_type", "seq", "revenue", "page"]


class Writer(threading.Thread):
    """Posts batches until the readers have seen enough, flushing and compacting in between."""

    def __init__(self, server: Server):
        super().__init__(daemon=True)
        self.server = server
        self.enough = threading.Event()
        self.acknowledged = 0
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            for number in range(MOST_BATCHES):
                if self.enough.is_set():
                    return
                receipt = self.server.request("POST", "/events", batch(number), "application/x-ndjson")
                self.acknowledged += receipt["accepted"]
                if number % 8 == 7:
                    self.server.request("POST", "/admin/flush")
                if number % 24 == 23:
                    self.server.request("POST", "/admin/compact")
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            self.error = error


def batch(number: int) -> bytes:
    """Events over three days, some with money, some with lines."""
    lines = []
    for i in range(BATCH):
        at = START + timedelta(seconds=(number * BATCH + i) * 7 % (2 * 86_400))
        event = {"event_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{number}/{i}")), "event_type": "page_view",
                 "event_ts": at.isoformat(timespec="milliseconds"), "user_id": f"u_{i % 40}",
                 "session_id": f"s_{number}_{i % 10}", "page": f"/product/{i % 25}"}
        if i % 10 == 0:
            event |= {"event_type": "purchase", "order_id": f"o_{number}_{i}", "revenue": round(19.99 + i, 2), "currency": "EUR",
                      "items": [{"product_id": "p1", "price": 19.99, "quantity": 1}]}
        lines.append(json.dumps(event))
    return "\n".join(lines).encode()


def read_all(lake: str) -> tuple[int, dict[str, polars.DataFrame]]:
    """One version of the table through each client, as comparable frames."""
    table = DeltaTable(lake)
    version = table.version()
    arrow = table.to_pyarrow_dataset().to_table(columns=[*COLUMNS, "event_date"])
    frames = {
        "deltalake": polars.from_arrow(table.to_pyarrow_table(columns=[*COLUMNS, "event_date"])),
        "pyarrow": polars.from_arrow(arrow),
        "polars": polars.scan_delta(lake, version=version).select([*COLUMNS, "event_date"]).collect(),
    }
    return version, {name: frame.sort("seq") for name, frame in frames.items()}


def check(version: int, frames: dict[str, polars.DataFrame]) -> int:
    """The invariants of one version; returns its rows."""
    first = frames["deltalake"]
    rows = first.height
    for name, frame in frames.items():
        require(frame.select(COLUMNS).equals(first.select(COLUMNS)), f"version {version}: {name} sees other rows")
        days = frame.select((polars.col("event_ts").dt.date() != polars.col("event_date").cast(polars.Date)).sum())
        require(days.item() == 0, f"version {version}: {name}: an event stands in another day's folder")
    if rows:
        require(first["event_id"].n_unique() == rows, f"version {version}: an event is there twice")
        require(first["seq"].max() == rows, f"version {version}: {rows} rows up to seq {first['seq'].max()}")
    return rows


def require(truth: bool, otherwise: str) -> None:
    if not truth:
        raise AssertionError(otherwise)


def run(server: Server, lake: str) -> None:
    writer = Writer(server)
    writer.start()
    seen: dict[int, int] = {}
    while writer.is_alive() and len(seen) < VERSIONS:
        version, frames = read_all(lake)
        seen[version] = check(version, frames)
    writer.enough.set()
    writer.join()
    if writer.error:
        raise writer.error
    require(len(seen) >= VERSIONS, f"only {len(seen)} versions were seen while the server wrote")
    server.request("POST", "/admin/flush")
    version, frames = read_all(lake)
    rows = check(version, frames)
    require(rows == writer.acknowledged, f"{writer.acknowledged} events were acknowledged, {rows} are in the table")
    sql = "SELECT count(*) AS events, sum(revenue) AS revenue, max(event_ts) AS last FROM events"
    [answer] = server.request("POST", "/sql", json.dumps({"q": sql}).encode())["data"]
    last = frames["polars"]["event_ts"].max().strftime("%Y-%m-%dT%H:%M:%S")
    require(int(answer["events"]) == rows, f"SQL counts {answer['events']}, the files hold {rows}")
    revenue = frames["polars"]["revenue"].sum()
    require(Decimal(answer["revenue"]) == revenue, f"SQL adds up {answer['revenue']}, the files {revenue}")
    require(answer["last"].startswith(last), f"SQL's newest event is of {answer['last']}, the files' of {last}")
    versions = ", ".join(f"{version}: {rows}" for version, rows in sorted(seen.items()))
    print(f"open_table: deltalake, polars and pyarrow agree; rows by version while writing: {versions}; {rows} at the end")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tideline", type=Path, required=True, help="the binary")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tideline-clients-") as folder:
        data = Path(folder) / "data"
        try:
            with Server(arguments.tideline, data, "flush.age=200ms") as server:
                run(server, str(data / "lake"))
        except Exception as error:  # noqa: BLE001 - said in one line, after the server's log
            print(f"open_table: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
