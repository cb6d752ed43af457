"""How fast and how small: JSON to durable columnar storage, acknowledgements under a fixed load, restarts.

The other engines load in a process of their own (`python -m benches.side_by_side.ingest ENGINE FILE FOLDER`), so that
processor time and peak memory are theirs alone.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from . import data
from .engines import ChDb, DataFusion, DuckDb, Tideline
from .server import Binaries, Server, post

# No background work beside what is measured: compaction is measured apart.
QUIET = {"lake.maintain_every": "24h"}


def load_other(engine: str, file: Path, folder: Path) -> dict:
    """Loads the file with another engine in a fresh process."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "benches.side_by_side.ingest", engine, file, folder]
    done = subprocess.run(command, cwd=data.ROOT, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def load_here(engine: str, file: Path, folder: Path) -> dict:
    """Loads the file with another engine in this process, and measures it."""
    threads = os.cpu_count() or 1
    database = {
        "duckdb": lambda: DuckDb(folder / "duck.db", threads),
        "chdb": lambda: ChDb(folder, threads),
        "datafusion": lambda: DataFusion(folder / "events.parquet", threads),
    }[engine]()
    cpu, started = _cpu(), time.monotonic()
    database.load_json(file)
    seconds, cpu = time.monotonic() - started, _cpu() - cpu
    table = "bench.events" if engine == "chdb" else "events"
    [(rows,)] = database.query(f"SELECT count(*) FROM {table}")
    if engine == "chdb":
        # What inactive parts still hold does not count against it.
        [(size,)] = database.query("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'events'")
    database.close()
    if engine != "chdb":
        size = data.size(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return figures(int(rows), seconds, cpu, peak, int(size))


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def figures(events: int, seconds: float, cpu_s: float, peak_bytes: int, rest_bytes: int) -> dict:
    return {
        "events": events,
        "seconds": seconds,
        "cpu_seconds": cpu_s,
        "events_per_second": events / seconds,
        "events_per_cpu_second": events / cpu_s,
        "peak_mib": peak_bytes / 2**20,
        "bytes_per_event": rest_bytes / events,
    }


def _rest_bytes(server: Server) -> int:
    return sum(file.stat().st_size for file in data.live_files(server.lake))


def load_tideline(binaries: Binaries, folder: Path, source: list, batch: int, connections: int) -> dict:
    """Posts the events, acknowledged durable, and flushes; then compacts, measured apart. Leaves the data."""
    shutil.rmtree(folder, ignore_errors=True)
    server = Server(binaries.tideline, folder, QUIET)
    try:
        client = Tideline(server.address)
        cpu, started = server.cpu_seconds(), time.monotonic()
        report = post(binaries, server, *source, "--batch", batch, "--connections", connections)
        posted, posted_cpu = time.monotonic(), server.cpu_seconds()
        client.post("/admin/flush")
        flushed, flushed_cpu = time.monotonic(), server.cpu_seconds()
        if report["accepted"] != report["events"]:
            raise RuntimeError(f"not every event was accepted: {report}")
        result = figures(report["accepted"], flushed - started, flushed_cpu - cpu, server.peak_bytes(),
                         _rest_bytes(server))
        result["posting"] = report
        result["last_flush_seconds"] = flushed - posted
        result["posting_cpu_seconds"] = posted_cpu - cpu
        result["files"] = len(data.live_files(server.lake))
        client.post("/admin/compact")
        result["compaction"] = {
            "seconds": time.monotonic() - flushed,
            "cpu_seconds": server.cpu_seconds() - flushed_cpu,
            "bytes_per_event": _rest_bytes(server) / report["accepted"],
            "files": len(data.live_files(server.lake)),
            "peak_mib": server.peak_bytes() / 2**20,
        }
        client.close()
        return result
    finally:
        server.stop()


def acknowledgements(binaries: Binaries, folder: Path, rate: int, batch: int, seconds: int, seed: int) -> dict:
    """Acknowledgement latency at a fixed rate, with default settings: flushes and compactions run beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    # What was deleted and written before must not be on its way to the disk meanwhile.
    os.sync()
    server = Server(binaries.tideline, folder)
    try:
        # A short run first: the first requests open files and connections.
        warm = ["--rate", rate, "--batch", batch, "--connections", 32, "--seed", seed]
        post(binaries, server, "--generate", rate * 2, *warm)
        events = rate * (seconds + 2)
        report = post(binaries, server, "--generate", events, "--skip", rate * 2, *warm)
        return {"rate": rate, "batch": batch, **report}
    finally:
        server.stop()


def restart(binaries: Binaries, folder: Path, wal_mib: int, seed: int) -> dict:
    """Time until ready after a kill, with that much write-ahead log to read back."""
    shutil.rmtree(folder, ignore_errors=True)
    # Nothing reaches the lake, so everything has to come back from the log.
    held = {**QUIET, "flush.age": "24h", "flush.bytes": "4GiB", "buffer.max_bytes": "8GiB", "wal.max_bytes": "8GiB"}
    server = Server(binaries.tideline, folder, held)
    posted = 0
    step = 100_000
    try:
        while data.size(folder / "wal") < wal_mib * 2**20 and posted < 100 * step:
            post(binaries, server, "--generate", posted + step, "--skip", posted, "--seed", seed)
            posted += step
    finally:
        server.kill()
    wal_bytes = data.size(folder / "wal")
    ready = []
    for _ in range(3):
        server = Server(binaries.tideline, folder, held)
        ready.append(server.ready_after_s)
        [(rows,)] = Tideline(server.address).query("SELECT count(*) FROM events")
        server.kill()
        if int(rows) != posted:
            raise RuntimeError(f"{rows} of {posted} events came back")
    return {"wal_mib": wal_bytes / 2**20, "events": posted, "ready_seconds": ready}


if __name__ == "__main__":
    print(json.dumps(load_here(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))
