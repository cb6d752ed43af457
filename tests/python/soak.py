#!/usr/bin/env python3
"""A server with Redis under traffic, with faults at random, for as long as asked: killed, asked to stop, its Redis killed or
paused, its disk full, its clock moved by an hour. At the end SQL has exactly what was acknowledged, KPIs of the live windows equal
those of SQL, `tideline check` finds nothing, and how memory went is printed.

The full disk is a small file system in memory (needs the right to mount); the clock is moved by libfaketime (Debian: faketime).
Where either is missing those faults are left out, which is said and counted.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

CLIENTS = 3
# A guard against hanging: the longest a server may take to start, or windows to be filled.
GUARD = 300.0
DISK_MIB = 768
# What the budgets below add up to, three times the queries' pool, and the program.
MOST_MEMORY_MIB = 1_536
SETTINGS = {
    "FLUSH_AGE": "2s", "LAKE_MAINTAIN_EVERY": "5s", "LAKE_VACUUM_AFTER": "0s", "WAL_SEGMENT_BYTES": "1MiB",
    "WAL_MAX_BYTES": "64MiB", "BUFFER_MAX_BYTES": "64MiB", "FLUSH_BYTES": "16MiB", "QUERY_MEMORY_BYTES": "128MiB",
    "QUERY_DERIVED_BYTES": "64MiB", "DEDUP_MAX_BYTES": "64MiB", "INGEST_MAX_IN_FLIGHT_BYTES": "128MiB", "LOG_LEVEL": "warn",
}
FAKETIME = ["/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
            "/usr/local/lib/faketime/libfaketime.so.1"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Ledger:
    """What clients know: every event is acknowledged, refused with a reason, or was never settled."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acknowledged: set[str] = set()
        self.refused: set[str] = set()
        # Refused after an attempt without an answer: may be there, once.
        self.either: set[str] = set()
        self.answers: Counter = Counter()
        self.wrong: list[str] = []

    def settle(self, ids: list[str], receipt: dict, attempts: int) -> None:
        bad = {ids[error["index"]] for error in receipt.get("errors", [])}
        with self.lock:
            if receipt["accepted"] + receipt["duplicates"] + receipt["rejected"] != len(ids) or len(bad) != receipt["rejected"]:
                self.wrong.append(f"a receipt does not add up: {receipt}")
            (self.either if attempts > 1 else self.refused).update(bad)
            self.acknowledged.update(i for i in ids if i not in bad)


class Server:
    """The process under test, as a supervisor keeps it: what ends by itself is started again."""

    def __init__(self, binary: Path, folder: Path, redis_port: int, clock: Path | None, log: Path):
        self.port, self.log = free_port(), log.open("ab")
        self.command = [binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", folder]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("TIDELINE_")}
        self.environment = {**clean, **{f"TIDELINE_{k}": v for k, v in SETTINGS.items()},
                            "TIDELINE_REDIS_URL": f"redis://127.0.0.1:{redis_port}/0"}
        library = next((path for path in FAKETIME if Path(path).exists()), None)
        if clock and library:
            # The monotonic clock stays: no clock jumps that way.
            self.environment |= {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
                                 "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
        self.process: subprocess.Popen | None = None
        self.starts = self.own_ends = 0
        # Restarting is the supervisor's; a fault that ends the process on purpose holds this.
        self.lock = threading.RLock()

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, {"content-type": kind})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def json(self, path: str) -> dict:
        status, body = self.ask("GET", path)
        if status not in (200, 503):
            raise RuntimeError(f"{path} answered {status}: {body[:300]!r}")
        return json.loads(body)

    def sql(self, text: str) -> list[list[str]]:
        status, body = self.ask("POST", "/sql.csv", text.encode(), "application/sql")
        if status != 200:
            raise RuntimeError(f"{text} answered {status}: {body[:300]!r}")
        return [line.split(",") for line in body.decode().splitlines()[1:]]

    def is_ready(self) -> bool:
        try:
            return self.ask("GET", "/health/ready")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def start(self) -> None:
        """Starts it, again and again where the disk is full, until it is ready."""
        end = time.monotonic() + GUARD
        while time.monotonic() < end:
            self.process = subprocess.Popen(self.command, env=self.environment, stdout=self.log, stderr=self.log)
            self.starts += 1
            while self.process.poll() is None:
                if self.is_ready():
                    return
                if time.monotonic() > end:
                    break
                time.sleep(0.1)
            time.sleep(0.3)
        raise RuntimeError("the server does not start")

    def watch(self) -> bool:
        """Starts it again when it has ended by itself."""
        with self.lock:
            if self.process.poll() is None:
                return False
            self.own_ends += 1
            self.start()
            return True

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(timeout=GUARD)

    def rss_mib(self) -> float | None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
            return int(pages) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
        return None


class Redis:
    def __init__(self, folder: Path):
        self.port, self.folder = free_port(), folder
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self.folder],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def visit(rng: random.Random, prefix: str, number: int, now_ms: int) -> list[dict]:
    """One visit of a shop: pages, maybe a cart, maybe an order."""
    session, user = f"{prefix}-s{number}", f"u{rng.randrange(500)}"
    kinds = ["page_view", "product_view", "add_to_cart", "checkout_start", "purchase"][: rng.choice([1, 2, 2, 3, 4, 5])]
    events = []
    for step, kind in enumerate(kinds):
        event = {"event_id": f"{prefix}-{number}-{step}", "event_type": kind, "event_ts": now_ms - rng.randrange(3_000), "user_id": user,
                 "session_id": session, "page": f"/p/{rng.randrange(40)}"}
        if kind == "purchase":
            event |= {"order_id": f"{prefix}-o{number}", "revenue": f"{rng.randrange(1, 20_000) / 100:.2f}", "currency": "EUR"}
        events.append(event)
    if rng.random() < 0.01:
        events.append({"event_id": f"{prefix}-{number}-bad", "event_type": "purchase", "event_ts": "yesterday"})
    return events


def client(server: Server, ledger: Ledger, name: str, seed: int, pause: float, stop: threading.Event) -> None:
    """Sends visits; a batch without an answer, or told to come again, is sent again until it is settled."""
    rng, number = random.Random(seed), 0
    while not stop.is_set():
        now, batch = int(time.time() * 1_000), []
        for _ in range(rng.randrange(1, 12)):
            batch += visit(rng, name, number, now)
            number += 1
        body = "\n".join(map(json.dumps, batch)).encode()
        attempts = 0
        while True:
            attempts += 1
            try:
                status, answer = server.ask("POST", "/events", body, "application/x-ndjson")
            except (OSError, http.client.HTTPException):
                status, answer = 0, b""
            ledger.answers[status] += 1
            if status in (200, 202, 207, 400, 422) and answer.startswith(b"{") and b'"accepted"' in answer:
                ledger.settle([e["event_id"] for e in batch], json.loads(answer), attempts)
                break
            if status not in (0, 429, 503):
                with ledger.lock:
                    ledger.wrong.append(f"a batch was answered {status}: {answer[:200]!r}")
                break
            time.sleep(0.1)
        time.sleep(pause)


class Faults:
    """What goes wrong, one thing at a time."""

    def __init__(self, server: Server, redis: Redis, rng: random.Random, disk: Path | None, clock: Path | None):
        self.server, self.redis, self.rng, self.disk, self.clock = server, redis, rng, disk, clock
        self.count: Counter = Counter()
        self.all = [self.kill, self.terminate, self.redis_away, self.redis_paused]
        self.all += [self.disk_full] * bool(disk) + [self.clock_ahead, self.clock_back] * bool(clock)

    def one(self) -> None:
        fault = self.rng.choice(self.all)
        self.count[fault.__name__] += 1
        fault()

    def kill(self) -> None:
        with self.server.lock:
            self.server.end(signal.SIGKILL)
            self.server.start()

    def terminate(self) -> None:
        with self.server.lock:
            self.server.end(signal.SIGTERM)
            self.server.start()

    def redis_away(self) -> None:
        self.redis.kill()
        time.sleep(self.rng.uniform(0.5, 6))
        self.redis.start()

    def redis_paused(self) -> None:
        self.redis.process.send_signal(signal.SIGSTOP)
        time.sleep(self.rng.uniform(0.2, 4))
        self.redis.process.send_signal(signal.SIGCONT)

    def disk_full(self) -> None:
        ballast = self.disk / "ballast"
        try:
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(b"\0" * (1 << 20))
            with contextlib.suppress(OSError), (self.disk / "ballast-too").open("wb", buffering=0) as file:
                while True:
                    file.write(b"\0" * 4_096)
            end = time.monotonic() + self.rng.uniform(1, 5)
            while time.monotonic() < end:
                if self.server.process.poll() is not None:
                    break
                time.sleep(0.1)
        finally:
            ballast.unlink(missing_ok=True)
            (self.disk / "ballast-too").unlink(missing_ok=True)

    def jump(self, seconds: str) -> None:
        self.clock.write_text(seconds)
        time.sleep(self.rng.uniform(1, 6))
        if self.rng.random() < 0.3:
            # The harder half: a start under a wrong clock.
            self.kill()
            time.sleep(1)
        self.clock.write_text("+0")
        # A server that was started under it keeps it; a supervisor would have it right at the next start.
        self.kill()

    def clock_ahead(self) -> None:
        self.jump("+3600")

    def clock_back(self) -> None:
        self.jump("-3600")


def verify(server: Server, ledger: Ledger) -> list[str]:
    """Whether SQL has what was acknowledged, once each, and nothing else."""
    wrong = []
    stored: Counter = Counter()
    for event_id, count in server.sql("SELECT event_id, count(*) FROM events GROUP BY event_id"):
        stored[event_id] = int(count)
    twice = [e for e, n in stored.items() if n != 1]
    lost = [e for e in ledger.acknowledged if e not in stored]
    strange = [e for e in stored if e not in ledger.acknowledged and e not in ledger.either]
    for what, events in (("stored more than once", twice), ("acknowledged and lost", lost), ("stored and never accepted", strange)):
        if events:
            wrong.append(f"{len(events)} events {what}: {events[:5]}")
    total = int(server.sql("SELECT count(*) FROM events")[0][0])
    if total != len(stored):
        wrong.append(f"count(*) says {total}, the rows are {len(stored)}")
    return wrong


def kpis(server: Server) -> tuple[int, list[str]]:
    """Compares every minute of the live windows with the same one in SQL."""
    end = time.monotonic() + GUARD
    while "degraded" in (windows := server.json("/kpis/history?minutes_back=50")):
        if time.monotonic() > end:
            return 0, [f"the windows stay degraded: {windows['degraded']}"]
        time.sleep(0.5)
    table = server.json(f"/kpis/history?minutes_back=50&at={windows['at']}")
    if (windows["source"], table["source"]) != ("windows", "sql"):
        return 0, [f"the answers come from {windows['source']} and {table['source']}"]
    by_minute = {minute["window_start"]: minute["metrics"] for minute in table["kpis"]}
    wrong = [f"{minute['window_start']}: windows say {minute['metrics']}, SQL {by_minute.get(minute['window_start'])}"
             for minute in windows["kpis"] if minute["metrics"] != by_minute.get(minute["window_start"])]
    return sum(1 for minute in windows["kpis"] if minute["metrics"]["events"]), wrong


def slope(samples: list[tuple[float, float]]) -> float:
    """MiB a minute, by least squares."""
    if len(samples) < 3:
        return 0.0
    n, times, values = len(samples), [t / 60 for t, _ in samples], [v for _, v in samples]
    mean_t, mean_v = sum(times) / n, sum(values) / n
    spread = sum((t - mean_t) ** 2 for t in times)
    return sum((t - mean_t) * (v - mean_v) for t, v in zip(times, values)) / spread if spread else 0.0


@contextlib.contextmanager
def small_disk(folder: Path):
    """A file system of its own, which can be filled; the folder itself where it cannot be mounted."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode != 0:
        print(f"SKIPPED fault: disk full ({done.stderr.strip()})", flush=True)
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tideline", type=Path, required=True, help="the program under test")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000), help="which faults when")
    parser.add_argument("--rate", type=float, default=300, help="events a second, about")
    parser.add_argument("--keep", type=Path, help="where the server's log goes")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    print(f"soak: seed {arguments.seed}, {arguments.minutes} minutes, about {arguments.rate:.0f} events/s", flush=True)
    wrong: list[str] = []
    with contextlib.ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mounted, elsewhere = base / "disk", base / "elsewhere"
        mounted.mkdir()
        elsewhere.mkdir()
        disk = stack.enter_context(small_disk(mounted))
        clock = elsewhere / "clock"
        clock.write_text("+0")
        if not any(Path(path).exists() for path in FAKETIME):
            print("SKIPPED fault: clock jumps (apt-get install faketime)", flush=True)
            clock = None
        redis = Redis(elsewhere)
        redis.start()
        stack.callback(redis.kill)
        log = arguments.keep or elsewhere / "log"
        server = Server(arguments.tideline.resolve(), mounted / "data", redis.port, clock, log)
        server.start()
        stack.callback(lambda: server.process.poll() is None and server.process.kill())
        ledger, stop, faults = Ledger(), threading.Event(), Faults(server, redis, rng, disk, clock)
        # A batch has about 15 events.
        pause = CLIENTS * 15 / arguments.rate
        clients = [threading.Thread(target=client, args=(server, ledger, f"c{i}", arguments.seed * 10 + i, pause, stop), daemon=True)
                   for i in range(CLIENTS)]
        for one in clients:
            one.start()
        samples: list[tuple[float, float]] = []
        begin = time.monotonic()

        def observe() -> None:
            while not stop.is_set():
                server.watch()
                if rss := server.rss_mib():
                    samples.append((time.monotonic() - begin, rss))
                time.sleep(0.5)

        observer = threading.Thread(target=observe, daemon=True)
        observer.start()
        last = begin
        while time.monotonic() - begin < arguments.minutes * 60:
            time.sleep(rng.uniform(2, 12))
            faults.one()
            if time.monotonic() - last > 60:
                last = time.monotonic()
                print(f"  {(last - begin) / 60:.0f} min: {len(ledger.acknowledged):,} acknowledged, {sum(faults.count.values())} faults, "
                      f"{samples[-1][1]:.0f} MiB", flush=True)
        # Everything is well again; one more start, and some traffic beside which windows are filled.
        faults.terminate()
        time.sleep(10)
        stop.set()
        for thread in [*clients, observer]:
            thread.join(timeout=GUARD)
        wrong += ledger.wrong + verify(server, ledger)
        minutes, differences = kpis(server)
        wrong += differences
        if server.end(signal.SIGTERM) != 0:
            wrong.append("it did not stop in good order")
        check = subprocess.run([*server.command[:1], "check", "--data-dir", mounted / "data", "--json"], env=server.environment,
                               capture_output=True, text=True)
        if check.returncode != 0:
            wrong.append(f"check: {check.stdout[-500:]}")
        server.start()
        wrong += verify(server, ledger)
        peak = max(rss for _, rss in samples)
        if peak > MOST_MEMORY_MIB:
            wrong.append(f"memory peaked at {peak:.0f} MiB, above {MOST_MEMORY_MIB}")
        half = [s for s in samples if s[0] > (time.monotonic() - begin) / 3]
        print(json.dumps({
            "seed": arguments.seed, "minutes": arguments.minutes, "acknowledged": len(ledger.acknowledged),
            "refused": len(ledger.refused), "either": len(ledger.either), "answers": dict(ledger.answers), "faults": dict(faults.count),
            "starts": server.starts, "ended_by_itself": server.own_ends, "minutes_compared": minutes, "rss_peak_mib": round(peak),
            "rss_slope_mib_per_minute": round(slope(half), 2), "wrong": len(wrong),
        }))
    for line in wrong[:20]:
        print(f"WRONG: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
