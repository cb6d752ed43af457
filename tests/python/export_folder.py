#!/usr/bin/env python3
"""Exports a folder with a file for each day, and reads it with pyarrow and polars: the same rows that SQL has.

From a server, partly from its buffer, and from the folder it leaves when it stops; as Parquet, CSV and NDJSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import polars
import pyarrow.dataset
import pyarrow.parquet

from server import Server

START = datetime(2024, 3, 1, 22, 0, tzinfo=timezone.utc)
EVENTS = 3_000


def events() -> list[dict]:
    """Three days, some events with money and lines."""
    made = []
    for i in range(EVENTS):
        at = START + timedelta(seconds=i * 50)
        event = {"event_id": f"e{i:05}", "event_type": "page_view", "event_ts": at.isoformat(timespec="milliseconds"),
                 "session_id": f"s{i % 50}", "user_id": f"u{i % 20}", "page": f"/p/{i % 9}?a=1,2", "note": "Grüße \"x\""}
        if i % 10 == 0:
            event |= {"event_type": "purchase", "order_id": f"o{i}", "revenue": f"{i}.25", "currency": "EUR",
                      "items": [{"product_id": "p1", "price": 1.5, "quantity": 2}]}
        made.append(event)
    return made


def require(truth: bool, otherwise: str) -> None:
    if not truth:
        raise AssertionError(otherwise)


def export(binary: Path, out: Path, *more: str) -> None:
    command = [binary, "export", "--partition", "day", "--json", "--out", out, *more]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    require((said["rows"], said["files"]) == (EVENTS, 3), f"it says {said}")


def check(folder: Path, wanted: polars.DataFrame) -> None:
    """Every reader sees the rows that SQL has."""
    columns = wanted.columns
    dataset = pyarrow.dataset.dataset(folder, partitioning="hive").to_table()
    readers = {
        "pyarrow": polars.from_arrow(dataset),
        "polars": polars.read_parquet(folder / "**/*.parquet", hive_partitioning=True),
        "pyarrow, file by file": polars.concat(
            polars.from_arrow(pyarrow.parquet.read_table(file, partitioning=None)) for file in folder.glob("*/*.parquet")),
    }
    for name, frame in readers.items():
        seen = frame.select(columns).sort("event_id")
        require(seen.equals(wanted), f"{name} sees other rows in {folder.name}")
    days = readers["polars"].select((polars.col("event_ts").dt.date() != polars.col("event_date").cast(polars.Date)).sum())
    require(days.item() == 0, "an event stands in another day's folder")


def run(binary: Path, root: Path, server: Server) -> None:
    lines = [json.dumps(event).encode() for event in events()]
    server.request("POST", "/events?ack=committed", b"\n".join(lines[:2_000]), "application/x-ndjson")
    server.request("POST", "/events", b"\n".join(lines[2_000:]), "application/x-ndjson")
    sql = "SELECT * EXCEPT (event_date) FROM events ORDER BY event_id"
    wanted = polars.read_parquet(server.fetch("POST", "/sql.parquet", sql.encode(), "application/sql"))
    require(wanted.height == EVENTS, f"SQL has {wanted.height} events")
    export(binary, root / "running", "--url", server.url)
    check(root / "running", wanted)
    for format, count in (("csv", lambda file: polars.read_csv(file).height),
                          ("ndjson", lambda file: len(file.read_text().splitlines()))):
        export(binary, root / format, "--url", server.url, "--format", format)
        rows = sum(count(file) for file in (root / format).glob(f"*/*.{format}"))
        require(rows == EVENTS, f"{format} has {rows} events")
    server.stop()
    export(binary, root / "stopped", "--data-dir", root / "data")
    check(root / "stopped", wanted)
    print(f"export_folder: pyarrow and polars read the {EVENTS} events that SQL has, from a server and from its folder")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tideline", type=Path, required=True, help="the binary")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tideline-export-") as folder:
        try:
            with Server(arguments.tideline, Path(folder) / "data", "flush.age=1h", "lake.maintain_every=0") as server:
                run(arguments.tideline, Path(folder), server)
        except Exception as error:  # noqa: BLE001 - said in one line, after the server's log
            print(f"export_folder: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
