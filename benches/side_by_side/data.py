"""Where things are, the event's columns as the other engines name them, and what machine this is."""

import json
import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benches" / "results"

# Column, DuckDB type, chDB type, where it stands in the JSON (where not at the top under its own name).
# chDB gets LowCardinality where a careful user would say so; Nullable because the answers must be the same.
TEXT, FEW = "Nullable(String)", "LowCardinality(Nullable(String))"
MONEY = "Nullable(Decimal(18, 4))"
ITEM = ("STRUCT(product_id VARCHAR, name VARCHAR, category VARCHAR, brand VARCHAR, price DECIMAL(18,4), "
        "quantity INTEGER)[]")
CH_ITEM = ("Array(Tuple(product_id Nullable(String), name Nullable(String), category Nullable(String), "
           "brand Nullable(String), price Nullable(Decimal(18, 4)), quantity Nullable(Int32)))")
COLUMNS = [
    ("event_ts", "TIMESTAMPTZ", "DateTime64(3, 'UTC')", None),
    ("event_type", "VARCHAR", "LowCardinality(String)", None),
    ("event_id", "VARCHAR", "String", None),
    ("user_id", "VARCHAR", TEXT, None),
    ("anonymous_id", "VARCHAR", TEXT, None),
    ("session_id", "VARCHAR", TEXT, None),
    ("page", "VARCHAR", TEXT, None),
    ("referrer", "VARCHAR", FEW, None),
    ("load_ms", "INTEGER", "Nullable(Int32)", None),
    ("product_id", "VARCHAR", TEXT, None),
    ("product_name", "VARCHAR", TEXT, None),
    ("category", "VARCHAR", FEW, None),
    ("brand", "VARCHAR", FEW, None),
    ("price", "DECIMAL(18,4)", MONEY, None),
    ("quantity", "INTEGER", "Nullable(Int32)", None),
    ("currency", "VARCHAR", FEW, None),
    ("order_id", "VARCHAR", TEXT, None),
    ("cart_id", "VARCHAR", TEXT, None),
    ("revenue", "DECIMAL(18,4)", MONEY, None),
    ("tax", "DECIMAL(18,4)", MONEY, None),
    ("shipping", "DECIMAL(18,4)", MONEY, None),
    ("discount", "DECIMAL(18,4)", MONEY, None),
    ("coupon", "VARCHAR", FEW, None),
    ("country", "VARCHAR", FEW, "geo.country"),
    ("utm_source", "VARCHAR", FEW, "utm.source"),
    ("utm_campaign", "VARCHAR", FEW, "utm.campaign"),
    ("utm_medium", "VARCHAR", FEW, "utm.medium"),
    ("os", "VARCHAR", FEW, "device.os"),
    ("mobile", "BOOLEAN", "Nullable(Bool)", "device.mobile"),
    ("city", "VARCHAR", FEW, "geo.city"),
    ("lat", "DOUBLE", "Nullable(Float64)", "geo.lat"),
    ("lon", "DOUBLE", "Nullable(Float64)", "geo.lon"),
    ("user_agent", "VARCHAR", FEW, "device.user_agent"),
    ("items", ITEM, CH_ITEM, None),
    ("query", "VARCHAR", FEW, None),
]
NAMES = [name for name, *_ in COLUMNS]


def json_types(index: int) -> dict[str, list[tuple[str, str]]]:
    """The members of a JSON event: name to type, or group to its members. 1: DuckDB's types, 2: chDB's."""
    members: dict[str, list[tuple[str, str]]] = {}
    for column in COLUMNS:
        name, path = column[0], column[3]
        group, _, member = (path or name).partition(".")
        # Nothing is gained by a dictionary while reading.
        kind = column[index].replace("LowCardinality(Nullable(String))", TEXT).replace(
            "LowCardinality(String)", "String")
        members.setdefault(group, []).append((member, kind))
    return members


def generate(generator: Path, events: int, seed: int, folder: Path) -> Path:
    """The NDJSON file with that many events; made unless it is there."""
    path = folder / f"events-{events}-{seed}.ndjson"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        subprocess.run([generator, "--events", str(events), "--seed", str(seed), "--out", part], check=True)
        part.rename(path)
    return path


def live_files(lake: Path) -> list[Path]:
    """The Parquet files that the table's current version consists of."""
    from deltalake import DeltaTable

    return [Path(uri.removeprefix("file://")) for uri in DeltaTable(str(lake)).file_uris()]


def snapshot(lake: Path, into: Path) -> Path:
    """Hard links to the live files, in the same folders, so that engines without Delta read the same bytes."""
    shutil.rmtree(into, ignore_errors=True)
    for file in live_files(lake):
        link = into / file.parent.name / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(file, link)
    return into


def size(path: Path) -> int:
    """Bytes of all files below a folder, or of a file."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink())


def machine() -> dict:
    """What the figures were measured on, and with which versions."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), platform.machine())
    memory = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines()
                  if line.startswith("MemTotal"))
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**20, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "duckdb": version("duckdb"),
        "chdb": version("chdb"),
    }


def tideline_version(binary: Path) -> str:
    return subprocess.run([binary, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1]


def write_json(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, default=str) + "\n")
