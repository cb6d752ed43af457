#!/usr/bin/env python3
"""Slow and hostile clients against a server process: thousands of connections whose headers or bodies drip, bombs, bodies of a
gigabyte, floods of headers, pipelining, churn, readers that do not read.

Meanwhile a probe asks /health/live again and again, on a connection of its own each time. What is asserted: the probe is always
answered, hostile requests get the status they should, memory stays below a stated bound, and the server lets go of every
connection by its own timeouts. The probe's times are printed, with and without hostility, and not asserted.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import re
import resource
import socket
import sys
import tempfile
import time
import zlib
from pathlib import Path

from server import Server

SETTINGS = [
    "http.header_timeout=3s", "http.body_timeout=3s", "http.idle_timeout=4s", "live.every=50ms", "query.threads=1",
    "query.memory_bytes=256MiB", "query.derived_bytes=32MiB", "query.timeout=60s", "dedup.max_bytes=16MiB",
    "ingest.max_in_flight_bytes=192MiB", "buffer.max_bytes=64MiB", "flush.bytes=32MiB", "alerts.enabled=false",
]
# A debug build peaked at 480 to 500 MiB, 160 of them before anything came; the bound is twice that.
MOST_MEMORY_MIB = 1_024
# A guard against hanging: every connection must be let go long before, also by a machine that does much besides.
GUARD = 600.0
MIB = 1 << 20


def probe(port: int, ask: "multiprocessing.connection.Connection") -> None:
    """In a process of its own: asks for the health until told to stop; answers with times in ms and failures."""
    times, failures = [], []
    while not times or not ask.poll():
        start = time.perf_counter()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=GUARD)
            connection.request("GET", "/health/live")
            if (status := connection.getresponse().status) != 200:
                failures.append(f"answered {status}")
            connection.close()
        except OSError as error:
            failures.append(repr(error))
        times.append((time.perf_counter() - start) * 1_000)
        time.sleep(0.02)
    ask.send((times, failures))


class Probe:
    def __init__(self, port: int):
        self.ours, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=probe, args=(port, theirs), daemon=True)
        self.process.start()

    def stop(self) -> tuple[list[float], list[str]]:
        self.ours.send("stop")
        answer = self.ours.recv()
        self.process.join(timeout=GUARD)
        return answer


def p99(times: list[float]) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


async def connect(port: int, small_window: bool = False) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if not small_window:
        return await asyncio.open_connection("127.0.0.1", port)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
    return await asyncio.open_connection(sock=raw, limit=1_024)


def status_of(answer: bytes) -> int:
    """The status of an answer; 0 where the connection was closed without one."""
    found = re.match(rb"HTTP/1\.1 (\d{3})", answer)
    return int(found[1]) if found else 0


async def drip(port: int, head: bytes, piece: bytes, every: float = 0.5) -> int:
    """Sends a piece now and then until the server ends it; the status it ended with."""
    reader, writer = await connect(port)
    writer.write(head)
    answer = asyncio.create_task(reader.read())
    end = time.monotonic() + GUARD
    while not answer.done():
        if time.monotonic() > end:
            raise RuntimeError(f"still open after {GUARD} s: {head[:40]!r}")
        try:
            writer.write(piece)
            await writer.drain()
        except OSError:
            break
        await asyncio.wait([answer], timeout=every)
    try:
        return status_of(await answer)
    except OSError:
        return 0
    finally:
        writer.close()


async def send(port: int, head: bytes, pieces=()) -> int:
    """Sends a request as fast as it is taken; the status of the answer, whenever that comes."""
    reader, writer = await connect(port)
    answer = asyncio.create_task(reader.read(64))
    try:
        writer.write(head)
        for piece in pieces:
            if answer.done():
                break
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    try:
        return status_of(await asyncio.wait_for(answer, GUARD))
    except TimeoutError as error:
        # An OSError too.
        raise RuntimeError(f"no answer after {GUARD} s: {head[:40]!r}") from error
    except OSError:
        return 0
    finally:
        writer.close()


async def many(count: int, one) -> dict[int, int]:
    """How often each status came."""
    counts: dict[int, int] = {}
    for status in await asyncio.gather(*(one(i) for i in range(count))):
        counts[status] = counts.get(status, 0) + 1
    return counts


def gzip_bomb(size: int) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([deflate.compress(b" " * MIB) for _ in range(size // MIB)]) + deflate.flush()


def zstd_bomb(size: int) -> bytes:
    """Blocks of 128 KiB that say "one byte, again and again", four bytes each; a window of 1 MiB."""
    block = lambda last: ((131_072 << 3) | (1 << 1) | last).to_bytes(3, "little") + b" "
    return b"\x28\xb5\x2f\xfd" + b"\x00" + b"\x50" + block(0) * (size // 131_072 - 1) + block(1)


def post(path: str, length: int | None, extra: str = "") -> bytes:
    size = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    return f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{extra}{size}\r\n\r\n".encode()


async def slow_headers(port: int) -> dict[int, int]:
    return await many(2_000, lambda i: drip(port, b"GET /version HTTP/1.1\r\nhost: localhost\r\nx-slow: ", b"a"))


async def slow_bodies(port: int) -> dict[int, int]:
    return await many(2_000, lambda i: drip(port, post("/events", 50_000), b" "))


async def slow_chunks(port: int) -> dict[int, int]:
    return await many(200, lambda i: drip(port, post("/sql", None, "content-type: application/sql\r\n"), b"1\r\n \r\n"))


async def bombs(port: int) -> dict[int, int]:
    sent = {"gzip": gzip_bomb(256 * MIB), "zstd": zstd_bomb(1_024 * MIB)}

    def one(i: int):
        name = ["gzip", "zstd"][i % 2]
        return send(port, post("/events", len(sent[name]), f"content-encoding: {name}\r\n"), [sent[name]])

    return await many(40, one)


async def gigabytes(port: int) -> dict[int, int]:
    piece = b" " * MIB
    chunk = f"{MIB:x}\r\n".encode() + piece + b"\r\n"
    announced = await many(4, lambda i: send(port, post("/events", 1 << 30), (piece for _ in range(1_024))))
    chunked = await many(4, lambda i: send(port, post("/events", None), (chunk for _ in range(1_024))))
    return {status: announced.get(status, 0) + chunked.get(status, 0) for status in {*announced, *chunked}}


async def header_floods(port: int) -> dict[int, int]:
    names = b"".join(b"x-flood-%d: a\r\n" % i for i in range(20_000))
    huge = b"x-flood: " + b"a" * (4 * MIB) + b"\r\n"
    head = b"GET /version HTTP/1.1\r\nhost: localhost\r\n"
    return await many(200, lambda i: send(port, head, [[names, huge][i % 2] + b"\r\n"]))


async def huge_urls(port: int) -> dict[int, int]:
    return await many(100, lambda i: send(port, b"GET /sql?q=" + b"a" * MIB + b" HTTP/1.1\r\nhost: localhost\r\n\r\n"))


async def garbage(port: int) -> dict[int, int]:
    hello = bytes.fromhex("16030100f8010000f40303") + os.urandom(240)
    return await many(200, lambda i: send(port, [hello, os.urandom(300), b"\r\n\r\n\r\n\r\n", b"\x00" * 300][i % 4] + b"\r\n\r\n"))


async def pipelining(port: int) -> dict[int, int]:
    """Many requests before the first answer is read; all are answered, in order."""

    async def one(i: int) -> int:
        reader, writer = await connect(port)
        count = 5_000
        last = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n" * (count - 1) + last)
        answers = await asyncio.wait_for(reader.read(), GUARD)
        while more := await asyncio.wait_for(reader.read(), GUARD):
            answers += more
        writer.close()
        return 200 if answers.count(b"HTTP/1.1 200") == count else answers.count(b"HTTP/1.1 200")

    return await many(10, one)


async def churn(port: int) -> dict[int, int]:
    """Connections that come and go: closed, reset, amid a request."""

    async def one(i: int) -> int:
        for round in range(10):
            raw = socket.socket()
            raw.setblocking(False)
            await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
            if round % 3:
                raw.send([b"GET / HT", post("/events", 500) + b"{"][round % 2])
            if round % 2:
                # Closing sends a reset.
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            raw.close()
        return 0

    return await many(500, one)


async def no_reading(port: int) -> dict[int, int]:
    """Asks for answers without an end and reads nothing of them. The server must let go of the queries by itself, which only its
    own side can tell: what it sent is still on its way. Listeners it may keep, since what they miss is skipped."""
    endless = b"SELECT a.value, b.value AS other FROM generate_series(1, 100000) a, generate_series(1, 100000) b"
    sql = post("/sql.ndjson", len(endless), "content-type: application/sql\r\n") + endless
    live = b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n"
    held = []

    async def one(i: int) -> int:
        reader, writer = await connect(port, small_window=True)
        held.append(writer)
        writer.write([sql, live][i % 2])
        answer = await asyncio.wait_for(reader.read(16), GUARD)
        # Not read on from here: neither by us nor by the event loop.
        writer.transport.pause_reading()
        return status_of(answer)

    counts = await many(200, one)
    end = time.monotonic() + GUARD
    while sockets(SERVER["pid"]) > SERVER["sockets"] + 100:
        if time.monotonic() > end:
            raise RuntimeError(f"queries whose answers nobody reads are still served after {GUARD} s")
        await asyncio.sleep(0.2)
    for writer in held:
        writer.transport.abort()
    return counts


# The process under test, and how many sockets it has when nobody is connected.
SERVER = {"pid": 0, "sockets": 0}


# What is done, what it is called, the statuses of which one must be seen, and those it may also end with: 0 is a connection
# closed without an answer, which who still sends may lose to a reset; 408 is for who has no time to send fast enough.
ATTACKS = [
    ("2,000 connections whose headers drip", slow_headers, {0, 408}, set()),
    ("2,000 connections whose bodies drip", slow_bodies, {408}, {0}),
    ("200 statements in dripping chunks", slow_chunks, {408}, {0}),
    ("40 bombs of 256 MiB (gzip) and 1 GiB (zstd)", bombs, {413}, {503, 408}),
    ("8 bodies of 1 GiB", gigabytes, {413}, {0, 408}),
    ("200 floods of headers", header_floods, {431}, {400, 0}),
    ("100 addresses of 1 MiB", huge_urls, {414, 431}, {0}),
    ("200 requests that are none", garbage, {400}, {0}),
    ("10 × 5,000 pipelined requests", pipelining, {200}, set()),
    ("5,000 connections that come and go", churn, {0}, set()),
    ("200 readers that do not read", no_reading, {200}, {503}),
]


def memory_mib(pid: int, field: str) -> int:
    return int(re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) // 1024


def sockets(pid: int) -> int:
    """The connections of a process."""
    count = 0
    for file in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += os.readlink(file).startswith("socket:")
        except FileNotFoundError:
            pass
    return count


def let_go(server: Server, before: int) -> bool:
    end = time.monotonic() + GUARD
    while sockets(server.process.pid) > before:
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tideline", type=Path, required=True, help="the program under test")
    parser.add_argument("--only", help="attacks whose name has this word")
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as temporary, Server(arguments.tideline, Path(temporary) / "data", *SETTINGS) as server:
        pid, port = server.process.pid, server.port
        quiet = Probe(port)
        time.sleep(5)
        normal, failures = quiet.stop()
        wrong += [f"before anything: {f}" for f in failures]
        time.sleep(0.5)
        before = sockets(pid)
        SERVER.update(pid=pid, sockets=before)
        print(f"memory {memory_mib(pid, 'VmRSS')} MiB before anything", flush=True)
        during: list[float] = []
        for name, attack, must, may in ATTACKS:
            if arguments.only and arguments.only not in name:
                continue
            watch = Probe(port)
            counts = asyncio.run(attack(port))
            times, failures = watch.stop()
            during += times
            wrong += [f"{name}: /health/live: {f}" for f in failures[:3]]
            if unexpected := {s: n for s, n in counts.items() if s not in must | may}:
                wrong.append(f"{name}: ended with {unexpected}, expected {sorted(must | may)}")
            if not must & counts.keys():
                wrong.append(f"{name}: ended with {counts}, none of them {sorted(must)}")
            released = let_go(server, before)
            if not released:
                wrong.append(f"{name}: {sockets(pid) - before} connections are still open")
            print(f"{name}: {counts}; health p50 {sorted(times)[len(times) // 2]:.1f} ms, p99 {p99(times):.1f} ms "
                  f"({len(times)} asked); memory {memory_mib(pid, 'VmRSS')} MiB", flush=True)
        peak = memory_mib(pid, "VmHWM")
        ratio = p99(during) / p99(normal)
        print(f"health p99: {p99(normal):.1f} ms before, {p99(during):.1f} ms during, {ratio:.1f} times; "
              f"memory peaked at {peak} MiB of {MOST_MEMORY_MIB}")
        if peak > MOST_MEMORY_MIB:
            wrong.append(f"memory peaked at {peak} MiB, above {MOST_MEMORY_MIB}")
        # And it works as before.
        event = {"event_type": "purchase", "event_ts": 1772323200000, "event_id": "after", "order_id": "o", "price": 3}
        if server.request("POST", "/events", json.dumps(event).encode())["accepted"] != 1:
            wrong.append("no event is taken afterwards")
        if server.request("GET", "/health")["engine"]["queries"] != 0:
            wrong.append("queries were left behind")
    for line in wrong:
        print(f"WRONG: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
