#!/usr/bin/env python3
"""Runs servers and commands that hold secrets, at log level trace, provokes errors at every layer, and searches everything
they say and every file they leave for those secrets.

Secrets: keys (good, wrong, malformed), a session's cookie, the password of Redis, the secret and the address of a receiver of
notices. Where a secret must be said (the answer that makes a key) it is taken out of that one answer first.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RULE = """-- summary = "Always"
-- description = "Open from the first look on."
-- chart = "number"
-- units = { one = "count" }
--
-- [alert]
-- value = "one"
-- open = "> 0"
-- close = "< 0"
-- every = "1s"
-- message = "{one}"
SELECT 1 AS one
"""


class Everything:
    """All that was said, by whom."""

    def __init__(self):
        self.said: list[tuple[str, str]] = []

    def add(self, who: str, text: str | bytes) -> None:
        self.said.append((who, text if isinstance(text, str) else text.decode(errors="replace")))

    def command(self, name: str, *command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("TIDELINE_")}
        done = subprocess.run(command, cwd=cwd, env={**clean, **environment}, capture_output=True, text=True, timeout=600)
        self.add(f"{name}, standard output", done.stdout)
        self.add(f"{name}, standard error", done.stderr)
        return done


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server whose log is kept whole."""

    def __init__(self, binary: Path, folder: Path, **environment: str):
        self.port = free_port()
        clean = {k: v for k, v in os.environ.items() if not k.startswith("TIDELINE_")}
        self.process = subprocess.Popen(
            [binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", folder], env={**clean, **environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.log: list[bytes] = []
        self.reader = threading.Thread(target=lambda: self.log.extend(self.process.stdout), daemon=True)
        self.reader.start()

    def ready(self) -> None:
        for _ in range(3_000):
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended: {b''.join(self.log[-5:]).decode()}")
            try:
                if self.ask("GET", "/health/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise RuntimeError("the server did not become ready")

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str, str]:
        # A guard against hanging.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        answer = (response.status, response.read().decode(errors="replace"), str(response.headers))
        connection.close()
        return answer

    def stop(self) -> str:
        self.process.terminate()
        self.process.wait(timeout=600)
        self.reader.join(timeout=300)
        return b"".join(self.log).decode(errors="replace")


def redis(folder: Path, port: int, password: str) -> subprocess.Popen:
    process = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", password,
                                "--dir", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(2_400):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return process
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("redis-server did not start")


def receiver() -> tuple[ThreadingHTTPServer, list[str]]:
    """Refuses every notice, so that sending it is an error."""
    got: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            got.append(self.path)
            self.send_response(500)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, got


def errors_over_http(server: Server, all: Everything, hidden: dict[str, str], key: str) -> None:
    """Requests that fail, each with a secret somewhere in it."""
    wrong, broken = hidden["a wrong key"], hidden["a malformed key"]
    auth = {"authorization": f"Bearer {key}"}
    requests = [
        ("GET", "/sql?q=SELECT+1", None, {"authorization": f"Bearer {wrong}"}),
        ("GET", "/sql?q=SELECT+1", None, {"authorization": f"Basic {broken}"}),
        ("GET", "/sql?q=SELECT+1", None, {"authorization": broken}),
        ("GET", "/sql?q=SELECT+1", None, {"x_api_key": broken}),
        ("GET", "/sql?q=SELECT+1", None, {"cookie": f"tideline_session={wrong}"}),
        ("POST", "/events", "{", {"authorization": f"Bearer {wrong}"}),
        ("POST", "/session", json.dumps({"key": wrong}), {"content_type": "application/json"}),
        ("POST", "/session", '{"key": "' + broken, {"content_type": "application/json"}),
        ("POST", "/session", json.dumps({"keys": broken}), {"content_type": "application/json"}),
        ("POST", "/session", json.dumps({"key": [broken]}), {"content_type": "application/json"}),
        ("POST", "/admin/keys", '{"name": ""}', {**auth, "content_type": "application/json"}),
        ("DELETE", "/admin/keys/k_none", None, auth),
        ("POST", "/sql", "SELECT * FROM nowhere", auth),
        ("POST", "/sql", "SELECT 1/0", auth),
        ("POST", "/sql", "SELECT repeat('x', 1000000000)", auth),
        ("POST", "/events", '{"event_type":"purchase","event_ts":"never"}', auth),
        ("POST", "/events", "\x00\x01", {**auth, "content_encoding": "gzip"}),
        ("GET", "/no/such/path", None, auth),
        ("GET", "/health", None, {}), ("GET", "/config", None, {}), ("GET", "/openapi.json", None, auth),
        ("GET", "/alerts", None, auth), ("GET", "/admin/keys", None, auth), ("GET", "/metrics", None, auth),
        ("GET", "/admin/dead-letters", None, auth),
    ]
    for method, path, body, headers in requests:
        status, answer, sent = server.ask(method, path, body, **headers)
        all.add(f"{method} {path} ({status})", answer + sent)


def outside(temporary: Path) -> Path:
    folder = temporary / "elsewhere"
    folder.mkdir(exist_ok=True)
    return folder


def errors_of_commands(binary: Path, all: Everything, hidden: dict[str, str], url: str, temporary: Path) -> None:
    wrong, cwd = hidden["a wrong key"], outside(temporary)
    for command in (["sql", "SELECT 1"], ["keys", "list"], ["alerts"], ["dead-letters", "list"], ["maintain", "flush"]):
        all.command(command[0], binary, *command, "--url", url, cwd=cwd, TIDELINE_KEY=wrong)
    all.command("sql", binary, "sql", "SELECT 1", "--url", url, "--key", f"{wrong}\n{wrong}é", cwd=cwd)


def errors_without_a_server(binary: Path, all: Everything, hidden: dict[str, str], temporary: Path) -> None:
    wrong, password, signing = hidden["a wrong key"], hidden["the password of Redis"], hidden["the secret of notices"]
    cwd = outside(temporary)
    for format in ([], ["--json"]):
        all.command("config", binary, "config", *format, cwd=cwd, TIDELINE_REDIS_URL=f"redis://:{password}@127.0.0.1:1/0",
                    TIDELINE_ALERTS_WEBHOOK_SECRET=signing, TIDELINE_ALERTS_WEBHOOKS=f"http://127.0.0.1:1/{hidden['an address of notices']}")
    all.command("doctor", binary, "doctor", "--data-dir", "none", cwd=cwd, TIDELINE_REDIS_URL=f"redis://:{password}@127.0.0.1:1/0")
    for command in (["sql", "SELECT 1"], ["keys", "list"], ["alerts"], ["dead-letters", "list"], ["maintain", "flush"]):
        all.command(command[0], binary, *command, "--url", "http://127.0.0.1:1", cwd=cwd, TIDELINE_KEY=wrong)
    # Settings that are refused, each with a secret in its value.
    for name, value in [
        ("REDIS_URL", f"http://:{password}@cache"), ("REDIS_URL", password), ("REDIS_URL", f"redis://:{password}@cache:port"),
        ("ALERTS_WEBHOOKS", f"https://me:{password}@hooks.example/"), ("ALERTS_WEBHOOKS", f"hooks.example/{password}"),
        ("ALERTS_WEBHOOK_SECRET", f"x://{signing}"), ("KEYS", wrong),
    ]:
        all.command(f"serve with a wrong {name}", binary, "serve", cwd=cwd, **{f"TIDELINE_{name}": value})
    digits = str(int.from_bytes(signing.encode()[:7], "big"))
    hidden["a secret of digits"] = digits
    for text in (f'redis_url = "redis://:{password}@cache', f"redis_url = redis://:{password}@cache", f'redis_url = ["{password}"]',
                 f"[alerts]\nwebhook_secret = {digits}", f'[alerts]\nwebhook_secret = {{ a = "{signing}" }}',
                 f'[alerts]\nwebhooks = ["ftp://{password}"]'):
        (cwd / "wrong.toml").write_text(text)
        done = all.command(f"serve with {text.split('=')[0].strip()!r} in a file", binary, "serve", "--config", "wrong.toml", cwd=cwd)
        assert done.returncode != 0, text
    (cwd / "wrong.toml").unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tideline", type=Path, required=True, help="the program under test")
    binary = parser.parse_args().tideline.resolve()
    hidden = {what: secrets.token_hex(16) for what in
              ["the password of Redis", "the secret of notices", "an address of notices", "a malformed key"]}
    hidden["a wrong key"] = f"tl_{secrets.token_urlsafe(32)}"
    all, wrong = Everything(), []
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as cleanup:
        temporary = Path(temporary)
        folder, rules = temporary / "data", temporary / "rules"
        (rules / "alerts").mkdir(parents=True)
        (rules / "alerts" / "always.sql").write_text(RULE)
        made = subprocess.run([binary, "keys", "create", "--name", "admin", "--scopes", "admin", "--data-dir", folder, "--json"],
                              check=True, capture_output=True, text=True)
        key = json.loads(made.stdout)["key"]
        hidden["the key"] = key
        hooks, got = receiver()
        port = free_port()
        cache = redis(temporary, port, hidden["the password of Redis"])
        # Whichever is the last one, also where something fails.
        cleanup.callback(lambda: cache.kill())
        settings = {
            "TIDELINE_REDIS_URL": f"redis://:{hidden['the password of Redis']}@127.0.0.1:{port}/0",
            "TIDELINE_ALERTS_WEBHOOKS": f"http://127.0.0.1:{hooks.server_port}/{hidden['an address of notices']}?t={hidden['an address of notices']}",
            "TIDELINE_ALERTS_WEBHOOK_SECRET": hidden["the secret of notices"], "TIDELINE_ALERTS_WARM_UP": "0s",
            "TIDELINE_ALERTS_WEBHOOK_RETRY": "200ms", "TIDELINE_METRICS_DIR": str(rules),
            # With an equals sign it is a filter, and libraries are heard too; but for those that never see a secret and never stop talking.
            "TIDELINE_LOG_LEVEL": "trace,tideline_server=trace,datafusion=info,sqlparser=info",
        }
        errors_without_a_server(binary, all, hidden, temporary)
        for format in ("text", "json"):
            server = Server(binary, folder, **settings, TIDELINE_LOG_FORMAT=format)
            cleanup.callback(server.process.kill)
            server.ready()
            status, _, headers = server.ask("POST", "/session", json.dumps({"key": key}), content_type="application/json")
            cookie = re.search(r"tideline[^=]*=([^;]{20,})", headers)
            assert status < 300 and cookie, f"no session: {status} {headers}"
            hidden[f"the cookie ({format})"] = cookie[1]
            server.ask("GET", "/sql?q=SELECT+1", cookie=cookie[0])
            status, answer, _ = server.ask("POST", "/admin/keys", '{"name":"shop","scopes":["ingest"]}', authorization=f"Bearer {key}",
                                           content_type="application/json")
            assert status < 300, answer
            hidden[f"another key ({format})"] = json.loads(answer)["key"]
            errors_over_http(server, all, hidden, key)
            errors_of_commands(binary, all, hidden, f"http://127.0.0.1:{server.port}", temporary)
            # Redis goes away, comes back with another password, and is asked all the while.
            cache.kill()
            cache.wait()
            for _ in range(10):
                server.ask("GET", "/metrics/active_users", authorization=f"Bearer {key}")
                time.sleep(0.1)
            cache = redis(temporary, port, "another")
            for _ in range(15):
                server.ask("GET", "/metrics/active_users", authorization=f"Bearer {key}")
                time.sleep(0.1)
            cache.kill()
            cache.wait()
            for _ in range(3_000):
                if got:
                    break
                time.sleep(0.1)
            else:
                wrong.append("no notice was tried: its errors were not looked at")
            log = server.stop()
            all.add(f"the log ({format})", log)
            if "TRACE" not in log or "redis" not in log.lower():
                wrong.append(f"the {format} log has no trace lines, or none about Redis: it shows nothing")
            got.clear()
            cache = redis(temporary, port, hidden["the password of Redis"])
        # The disk fails: the server stops by itself, and says why.
        server = Server(binary, folder, **settings, TIDELINE_CRASH_AT="log-sync-fails:2")
        cleanup.callback(server.process.kill)
        server.ready()
        for i in range(200):
            event = {"event_type": "purchase", "event_id": f"e{i}", "event_ts": 1772323200000 + i, "order_id": f"o{i}", "price": 3}
            try:
                _, answer, _ = server.ask("POST", "/events", json.dumps(event), authorization=f"Bearer {key}")
                all.add("an event that could not be stored", answer)
            except OSError:
                break
        server.process.wait(timeout=600)
        all.add("the log of a failed disk", server.stop())
        cache.kill()
        cache.wait()
        hooks.shutdown()
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                all.add(f"the file {file.relative_to(folder)}", file.read_bytes())
    characters = sum(len(text) for _, text in all.said)
    for who, text in all.said:
        for what, secret in hidden.items():
            if secret in text:
                at = text.index(secret)
                context = text[max(0, at - 150) : at + 60].replace("\n", " ")
                wrong.append(f"{what} is in {who}: …{context}…")
    print(f"{len(hidden)} secrets were looked for in {len(all.said)} outputs and files of {characters:,} characters: {len(wrong)} found")
    for line in wrong[:40]:
        print(f"WRONG: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
