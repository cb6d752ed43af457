"""The whole run: generate, load, acknowledge, restart, query, report. See `--help`."""

import argparse
import shutil
from datetime import datetime, timezone
from pathlib import Path

from . import data, ingest, report, suite
from .engines import ChDb, DuckDb, Tideline
from .server import Binaries, Server

PARTS = ("ingest", "ack", "restart", "queries")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benches.side_by_side", description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000, help="events of the ingest comparison")
    parser.add_argument("--query-events", type=int, default=20_000_000, help="events of the query suite")
    parser.add_argument("--repetitions", type=int, default=7, help="measured runs of each query")
    parser.add_argument("--rounds", type=int, default=3, help="runs of the ingest comparison, in turns")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--batch", type=int, default=5_000, help="events per request when loading")
    parser.add_argument("--connections", type=int, default=4, help="connections when loading")
    parser.add_argument("--rate", type=int, default=50_000, help="events/s of the acknowledgement run")
    parser.add_argument("--ack-seconds", type=int, default=30, help="length of the acknowledgement run")
    parser.add_argument("--wal-mib", type=int, default=256, help="write-ahead log to restart with")
    parser.add_argument("--only", choices=PARTS, action="append", help="only that part; may be repeated")
    parser.add_argument("--query", choices=[query.name for query in suite.QUERIES], action="append",
                        help="only that query of the suite; may be repeated")
    parser.add_argument("--keep", action="store_true", help="reuse the query suite's data of the last run")
    parser.add_argument("--work", type=Path, default=data.ROOT / "benches" / "data", help="folder for what is made")
    parser.add_argument("--bin", type=Path, default=data.ROOT / "target" / "release", help="folder of the binaries")
    parser.add_argument("--out", type=Path, default=data.RESULTS / "side_by_side", help="results, without the ending")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    binaries = Binaries(*(args.bin / name for name in ("tideline", "generate", "post")))
    parts = args.only or PARTS
    results: dict = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "seed": args.seed,
        "machine": data.machine(),
        "tideline": data.tideline_version(binaries.tideline),
        "build": args.bin.name,
    }
    if "ingest" in parts:
        results["ingest"] = run_ingest(args, binaries)
    if "ack" in parts:
        print("acknowledgements …")
        results["acknowledgements"] = ingest.acknowledgements(
            binaries, args.work / "ack", args.rate, 500, args.ack_seconds, args.seed)
    if "restart" in parts:
        print("restart …")
        results["restart"] = ingest.restart(binaries, args.work / "restart", args.wal_mib, args.seed)
    if "queries" in parts:
        run_queries(args, binaries, results)
    for done in ("ack", "restart", "duckdb", "chdb", "datafusion"):
        shutil.rmtree(args.work / done, ignore_errors=True)
    page = report.page(results)
    data.write_json(args.out.with_suffix(".json"), results)
    args.out.with_suffix(".md").write_text(page)
    print("\n" + page)


def run_ingest(args: argparse.Namespace, binaries: Binaries) -> dict:
    file = data.generate(binaries.generate, args.events, args.seed, args.work)
    runs: dict = {"tideline": [], "duckdb table": [], "chdb mergetree": [], "datafusion copy": []}
    for number in range(1, args.rounds + 1):
        for name, load in (
            ("tideline", lambda: ingest.load_tideline(
                binaries, args.work / "ingest", ["--file", file], args.batch, args.connections)),
            ("duckdb table", lambda: ingest.load_other("duckdb", file, args.work / "duckdb")),
            ("chdb mergetree", lambda: ingest.load_other("chdb", file, args.work / "chdb")),
            ("datafusion copy", lambda: ingest.load_other("datafusion", file, args.work / "datafusion")),
        ):
            run = load()
            print(f"ingest {number}: {name}: {run['events_per_second']:,.0f} events/s, "
                  f"{run['events_per_cpu_second']:,.0f} per CPU second, {run['bytes_per_event']:.1f} bytes at rest")
            runs[name].append(run)
    shutil.rmtree(args.work / "ingest", ignore_errors=True)
    return runs


def run_queries(args: argparse.Namespace, binaries: Binaries, results: dict) -> None:
    folder = args.work / f"queries-{args.query_events}-{args.seed}"
    lake = folder / "tideline"
    if not (args.keep and lake.exists()):
        shutil.rmtree(folder, ignore_errors=True)
        print(f"loading {args.query_events:,} events for the queries …")
        source = ["--generate", args.query_events, "--seed", args.seed]
        results["query_load"] = ingest.load_tideline(binaries, lake, source, args.batch, args.connections)
    server = Server(binaries.tideline, lake, ingest.QUIET)
    tideline = Tideline(server.address)
    parquet = data.snapshot(server.lake, folder / "parquet")
    threads = results["machine"]["cores"]
    duck, clickhouse = DuckDb(folder / "duck.db", threads), ChDb(folder / "chdb", threads)
    try:
        for engine, table in ((duck, "events"), (clickhouse, "bench.events")):
            if not engine.has(table):
                print(f"loading {engine.name}'s own table …")
                engine.load_parquet(parquet)
        [(end,)] = duck.query("SELECT max(event_ts) FROM events")
        lanes = [
            suite.Lane("tideline", tideline, "events"),
            suite.Lane("duckdb parquet", duck, duck.parquet(parquet)),
            suite.Lane("chdb parquet", clickhouse, clickhouse.parquet(parquet)),
            suite.Lane("duckdb table", duck, "events"),
            suite.Lane("chdb mergetree", clickhouse, "bench.events"),
        ]
        results["queries"] = {
            "events": args.query_events,
            "files": len(list(parquet.rglob("*.parquet"))),
            "suite": suite.run(lanes, end.astimezone(timezone.utc), args.repetitions, folder, args.query),
            "peak_mib": server.peak_bytes() / 2**20,
        }
    finally:
        for engine in (tideline, duck, clickhouse):
            engine.close()
        server.stop()


if __name__ == "__main__":
    main()
