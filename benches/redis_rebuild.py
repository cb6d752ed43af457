#!/usr/bin/env python3
"""How long the shared windows take to come back after Redis has lost everything, while events keep coming.

For each rate: a Redis and a server are started, an hour of events at that rate is put in, and while events come in at the rate
Redis is emptied. Counted is the time until answers come from Redis again, undegraded; then every minute of the windows must
equal the same one in SQL. Needs the release build and a redis-server.

    python3 -m benches.redis_rebuild --rates 1000 5000 10000
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from benches.side_by_side.server import Server, free_port

ROOT = Path(__file__).resolve().parents[1]
MINUTES = 58
# Events come in for this long before Redis is emptied.
BEFORE_S = 5
GUARD_S = 300


def get(url: str) -> dict:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        # A server that is not well still says how it is.
        return json.load(error)


def wait(what: str, done) -> float:
    begun = time.monotonic()
    while not done():
        if time.monotonic() - begun > GUARD_S:
            raise RuntimeError(f"not after {GUARD_S} s: {what}")
        time.sleep(0.1)
    return time.monotonic() - begun


def differences(server: str) -> tuple[int, list[str]]:
    """Minutes with events, and those that are not as in SQL."""
    windows = get(f"{server}/kpis/history?minutes_back=50")
    table = get(f"{server}/kpis/history?minutes_back=50&at={windows['at']}")
    by_minute = {minute["window_start"]: minute["metrics"] for minute in table["kpis"]}
    filled = [minute for minute in windows["kpis"] if minute["metrics"]["events"]]
    return len(filled), [minute["window_start"] for minute in filled if minute["metrics"] != by_minute.get(minute["window_start"])]


def measure(rate: int, binaries: Path, folder: Path) -> dict:
    redis_port = free_port()
    redis = subprocess.Popen(["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
                             stdout=subprocess.DEVNULL)
    server = sender = None
    try:
        server = Server(binaries / "tideline", folder / "data", {"redis_url": f"redis://127.0.0.1:{redis_port}"})
        url = f"http://{server.address}"

        def shared() -> dict:
            return get(f"{url}/health")["dependencies"]["redis"]

        def is_live() -> bool:
            return shared()["state"] == "live" and "degraded" not in get(f"{url}/kpis/latest")

        def post(events: int, *how: object) -> list[str]:
            return [str(part) for part in (binaries / "post", "--url", f"{url}/events", "--generate", events, *how)]

        subprocess.run(post(rate * 60 * MINUTES, "--past", MINUTES), check=True, stdout=subprocess.DEVNULL)
        wait("Redis follows", is_live)
        active = {what: get(f"{url}/metrics/active_{what}?minutes=60") for what in ("users", "sessions")}
        sender = subprocess.Popen(post(rate * (GUARD_S + 60), "--live", "--rate", rate, "--batch", 500, "--seed", 7), stdout=subprocess.DEVNULL)
        time.sleep(BEFORE_S)
        rebuilds = shared()["rebuilds"]
        subprocess.run(["redis-cli", "-p", str(redis_port), "FLUSHALL"], check=True, stdout=subprocess.DEVNULL)
        took = wait("Redis is filled again", lambda: shared()["rebuilds"] > rebuilds and is_live())
        sender.terminate()
        sender.wait()
        wait("Redis follows", is_live)
        minutes, wrong = differences(url)
        return {"events_per_second": rate, "active": active, "seconds": round(took, 1), "minutes_compared": minutes, "wrong": wrong}
    finally:
        for process in (sender, server and server.process, redis):
            if process and process.poll() is None:
                process.kill()
                process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=int, nargs="+", default=[1_000, 5_000, 10_000], help="events a second")
    parser.add_argument("--bin", type=Path, default=ROOT / "target" / "release", help="folder of the binaries")
    arguments = parser.parse_args()
    wrong = 0
    for rate in arguments.rates:
        with tempfile.TemporaryDirectory(prefix="tideline-redis-") as folder:
            found = measure(rate, arguments.bin, Path(folder))
        print(json.dumps(found), flush=True)
        wrong += len(found["wrong"])
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
