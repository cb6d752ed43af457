#!/usr/bin/env python3
"""Monitoring and deployment, against the real thing: a server under traffic, a Redis, a Prometheus with the rules of
`deploy/prometheus`, promtool. What is only read is checked in deploy.py.

`--write` writes deploy/METRICS.md anew from a scrape; without it the two are compared.
"""

import argparse
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import deploy  # noqa: E402
import promql  # noqa: E402
from server import Server  # noqa: E402 - it is beside this folder

ROOT = deploy.ROOT
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
# How much faster the rules go by here: minutes become seconds.
SHORT = {"for: 10m": "for: 2s", "for: 5m": "for: 2s", "for: 2m": "for: 1s", "for: 1m": "for: 1s", "for: 30m": "for: 2s"}
HANGING = 120


def until(what: str, look) -> object:
    """What `look` says once it says something; a guard against hanging, not a measurement."""
    for _ in range(HANGING * 10):
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"did not happen: {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Child:
    """A program with a log, killed by its own id."""

    def __init__(self, folder: Path, *command: str):
        self.log = folder / f"{command[0]}.log"
        self.process = subprocess.Popen(command, cwd=folder, stdout=self.log.open("ab"), stderr=subprocess.STDOUT)

    def stop(self, how: int = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(timeout=HANGING)

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)
        if failure:
            sys.stderr.write(self.log.read_text(errors="replace")[-3000:])


def redis(folder: Path, port: int) -> Child:
    return Child(folder, "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")


class Prometheus(Child):
    """A real Prometheus that scrapes `target`, twice a second, with the rules of `deploy/prometheus`."""

    def __init__(self, folder: Path, target: int):
        self.port = free_port()
        rules = (ROOT / "deploy/prometheus/rules/tideline.yml").read_text()
        for slow, fast in SHORT.items():
            rules = rules.replace(slow, fast)
        (folder / "rules.yml").write_text(rules)
        config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
        job = next(job for job in config["scrape_configs"] if job["job_name"] == "tideline")
        del job["authorization"]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{target}"]}]
        times = {"scrape_interval": "500ms", "evaluation_interval": "200ms", "scrape_timeout": "500ms"}
        config = {"global": times, "rule_files": ["rules.yml"], "scrape_configs": [job]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        super().__init__(folder, "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb",
                         f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn")

    def ask(self, path: str, **query: str) -> dict | list:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{query}: {error.read().decode()}") from error
        except OSError:
            return {}

    def value(self, expr: str) -> float | None:
        found = self.ask("query", query=expr)
        return float(found["result"][0]["value"][1]) if found and found["result"] else None

    def firing(self) -> set[str]:
        found = self.ask("alerts")
        return {a["labels"]["alertname"] for a in found["alerts"] if a["state"] == "firing"} if found else set()


def get(port: int, path: str, **headers: str) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    status, kind, body = answer.status, answer.getheader("content-type", ""), answer.read().decode()
    connection.close()
    return status, kind, body


def samples(text: str) -> dict[str, set[str]]:
    """Names of the samples of a scrape, each with its labels."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, labels = re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ", line).groups()
            found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels or ""))
    return found


def families(text: str) -> list[tuple[str, str, str, str]]:
    """Name, type, labels and help of each family, in order."""
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.M))
    labels = samples(text)
    listed = []
    for name, kind in re.findall(r"^# TYPE (\S+) (\w+)$", text, re.M):
        of = labels.get(name, set()) | (labels.get(f"{name}_bucket", set()) - {"le"})
        listed.append((name, kind, ", ".join(f"`{label}`" for label in sorted(of)), helps[name]))
    return listed


def compare_list(text: str, write: bool) -> None:
    """deploy/METRICS.md lists exactly the families of a scrape."""
    path = ROOT / "deploy/METRICS.md"
    about = (
        "# What `GET /metrics` says\n\nEvery family, as a server with a Redis and limits on requests has them after some traffic. Times are in seconds and "
        "sizes in\nbytes. `make monitoring` compares this list with a scrape; `tests/python/monitoring/run.py --write` writes it.\n\n"
        "| family | type | labels | |\n|---|---|---|---|\n"
    )
    rows = "".join(f"| `{name}` | {kind} | {labels} | {help} |\n" for name, kind, labels, help in families(text))
    if write:
        path.write_text(about + rows)
    assert path.read_text() == about + rows, f"{path} is not what a scrape says: run.py --write, and look at the difference"


def traffic(server: Server, tideline: Path) -> None:
    """Something of everything that is counted."""
    # A quarter of an hour of the shop, so that there are orders; then some seconds as they happen.
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 2400))
    printed = deploy.run(tideline, "traffic", "--print", "8000", "--start", since, "--base-rps", "10", "--late-pct", "0")
    server.request("POST", "/events", printed.encode(), "application/x-ndjson")
    deploy.run(tideline, "traffic", "--url", server.url, "--base-rps", "60", "--base-sec", "2", "--spike-rps", "0",
               "--spike-sec", "0", "--cooldown-sec", "0", "--batch", "20", "--junk", "10")
    for query in ("SELECT count(*) FROM events", "SELECT * FROM orders LIMIT 3", "SELECT nothing"):
        try:
            server.request("POST", "/sql", query.encode(), "application/sql")
        except RuntimeError:
            assert "nothing" in query
    series = "generate_series(1, 100000)"
    forever = f"SELECT count(*) FROM {series} a CROSS JOIN {series} b WHERE a.value % 7 = b.value % 11"
    try:
        server.request("POST", "/sql", json.dumps({"q": forever, "timeout_ms": 50}).encode())
    except RuntimeError as error:
        assert "query_timeout" in str(error), error
    timeout = 'tideline_queries_total{class="sql",outcome="timeout"} 1'
    until("a query that ran out of time is counted as one", lambda: timeout in get(server.port, "/metrics")[2])
    for path in ("/analytics/sales/summary", "/analytics/sales/summary", "/kpis/latest", "/there/is/nothing/here"):
        get(server.port, path)
    server.request("POST", "/admin/flush")
    # One that is stored, and one that is not: for whom is it?
    seen = {"event_type": "page_view", "event_ts": "2026-03-01T12:00:00Z", "session_id": "s", "page": "/"}
    server.request("POST", "/events", json.dumps([seen | {"user_id": "u"}, seen]).encode())
    server.request("POST", "/admin/flush")
    server.request("POST", "/admin/compact")


def named_everywhere() -> list[tuple[str, str]]:
    """Each expression of a rule or a panel, and where it stands."""
    found = []
    for group in yaml.safe_load((ROOT / "deploy/prometheus/rules/tideline.yml").read_text())["groups"]:
        found += [(rule["alert"], rule["expr"]) for rule in group["rules"]]
    for path in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            found += [(f"{path.stem}: {panel['title']}", t["expr"]) for t in panel.get("targets", []) if "expr" in t]
    return found


def check_expressions(prometheus: Prometheus, scrape: str) -> None:
    """Each metric and label that is named exists, and Prometheus takes each expression."""
    known = samples(scrape)
    every_label = {label for labels in known.values() for label in labels} | {"job", "instance"}
    expressions = named_everywhere()
    for where, expr in expressions:
        expr = expr.replace("$__rate_interval", "1m").replace("$instance", ".*")
        for name, labels in promql.names(expr).items():
            if name == "":
                assert labels <= every_label, f"{where}: no label {labels - every_label}"
                continue
            assert name in known or name == "up", f"{where}: a scrape has no {name}"
            assert labels <= known.get(name, set()) | {"job", "instance"}, f"{where}: {name} has no {labels}"
        prometheus.ask("query", query=expr)
    print(f"{len(expressions)} expressions name {len(known)} series that there are")


def expanded(text: str) -> str:
    """The macros of Grafana's PostgreSQL source, as it writes them out."""
    now = time.time()
    clock = lambda at: time.strftime("'%Y-%m-%dT%H:%M:%SZ'", time.gmtime(at))
    since, end = clock(now - 3600), clock(now + 60)
    text = text.replace("$__interval", "10s")
    text = re.sub(r"\$__timeFilter\(([^)]*)\)", rf"\1 BETWEEN {since} AND {end}", text)
    text = re.sub(r"\$__timeGroupAlias\(([^,]*), *10s\)", r'floor(extract(epoch from \1)/10)*10 AS "time"', text)
    text = text.replace("$__timeFrom()", since).replace("$__timeTo()", end)
    assert "$" not in text, f"a macro that is not known: {text}"
    return text


def check_panels(server: Server) -> None:
    """Every SQL text of the dashboards runs, and says something about what was sent."""
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/ecommerce.json").read_text())
    texts = [(panel["title"], target["rawSql"]) for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert len(texts) >= 12
    for title, text in texts:
        answer = server.request("POST", "/sql", expanded(text).encode(), "application/sql")
        if title != "Alerts":
            assert answer["rows"] > 0 and all(v is not None for v in answer["data"][0].values()), f"{title}: {answer['data']}"
        if "$__timeGroup" in text:
            assert answer["meta"][0]["name"] == "time", title
    print(f"{len(texts)} SQL texts of panels run")


def watch(tideline: Path, folder: Path, write: bool) -> None:
    """A server, a Redis and a Prometheus: the scrape, the names, and an alert that fires and clears."""
    port = free_port()
    cache = redis(folder, port)
    try:
        with Server(tideline, folder / "data", f"redis_url=redis://127.0.0.1:{port}", "rate_limit.requests=100000000",
                    "lake.maintain_every=0s") as server:
            traffic(server, tideline)
            status, kind, text = get(server.port, "/metrics")
            assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
            deploy.run("promtool", "check", "metrics", input=text)
            assert get(server.port, "/metrics", accept=OPENMETRICS)[1].startswith("application/openmetrics-text")
            until("Redis is live", lambda: 'tideline_redis_up 1' in get(server.port, "/metrics")[2])
            compare_list(text, write)
            check_panels(server)
            with Prometheus(folder, server.port) as prometheus:
                until("the server is scraped", lambda: prometheus.value('up{job="tideline"}') == 1)
                # Prometheus read as many samples as there are, in the format it asks for.
                until("its samples are there", lambda: (prometheus.value("scrape_samples_scraped") or 0) > 300)
                check_expressions(prometheus, get(server.port, "/metrics")[2])
                assert "TidelineRedisAway" not in prometheus.firing()
                cache.stop(signal.SIGKILL)
                until("the alert fires", lambda: "TidelineRedisAway" in prometheus.firing())
                cache = redis(folder, port)
                until("the alert clears", lambda: "TidelineRedisAway" not in prometheus.firing())
                assert prometheus.value("tideline_redis_up") == 1
                server.stop()
                until("a server that went is noticed", lambda: "TidelineDown" in prometheus.firing())
        print("an alert fired when Redis went and cleared when it was back; another when the server went")
    finally:
        cache.stop(signal.SIGKILL)


def composed(tideline: Path, folder: Path, known: dict) -> None:
    """What the containers do, without containers: keys, the server with them, the generator, the health check."""
    commands, keys = folder / "bin", folder / "keys"
    commands.mkdir()
    keys.mkdir()
    (commands / "tideline").symlink_to(tideline.resolve())
    environment = os.environ | {
        "PATH": f"{commands}:{os.environ['PATH']}", "TIDELINE_DATA_DIR": str(folder / "served"), "KEYS_DIR": str(keys),
    }
    for _ in range(2):
        # The second time nothing changes, also while the server has the folder.
        deploy.run("sh", ROOT / "deploy/compose/keys.sh", env=environment)
    key = {name: (keys / name).read_text() for name in ("admin", "generator", "monitoring")}
    assert all(re.fullmatch(r"tl_[\w-]+", text) for text in key.values()), "a key file holds the key and nothing else"
    modes = {name: oct((keys / name).stat().st_mode)[-3:] for name in key}
    assert modes == {"admin": "400", "generator": "400", "monitoring": "444"}, modes
    unreachable = subprocess.run([tideline, "health", "--url", f"http://127.0.0.1:{free_port()}"], capture_output=True)
    assert unreachable.returncode == 1
    port = free_port()
    address = {"TIDELINE_LISTEN": f"0.0.0.0:{port}"}
    with Child(folder, str(commands / "tideline"), "serve", "--data-dir", str(folder / "served"), "--listen", f"0.0.0.0:{port}") as server:
        healthy = lambda: subprocess.run([tideline, "health"], env=environment | address, capture_output=True).returncode == 0
        until("the container is healthy", healthy)
        bearer = lambda name: {"authorization": f"Bearer {key[name]}"}
        assert get(port, "/metrics")[0] == 401
        assert get(port, "/metrics", **bearer("generator"))[0] == 403
        assert get(port, "/metrics", **bearer("monitoring"))[0] == 200
        for probe, path in known["probes"].items():
            assert get(port, path)[0] == 200, probe
        command = known["services"]["generator"]["command"][0].replace("$$", "$").replace("/keys/generator", str(keys / "generator"))
        command = command.replace("http://tideline:8080", f"http://127.0.0.1:{port}")
        for flag, value in (("base-sec", 1), ("spike-sec", 1), ("cooldown-sec", 1), ("repeat", 1)):
            command = re.sub(rf"--{flag} \d+", f"--{flag} {value}", command)
        deploy.run("sh", "-c", command, env=environment)
        status, _, text = get(port, "/sql.csv?q=SELECT+count(*)+FROM+events", **bearer("monitoring"))
        assert status == 200 and int(text.split()[-1]) > 20, text
        server.stop()
        assert server.process.returncode == 0
    said = deploy.run(tideline, "sql", "--data-dir", folder / "served", "SELECT count(*) FROM events")
    assert text.split()[-1] in said, "what was sent is in the folder after the stop"
    print("keys, health check and generator of docker-compose.yml work")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tideline", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    tideline = arguments.tideline.resolve()
    # Settings of whoever runs this are not ours.
    for name in [name for name in os.environ if name.startswith("TIDELINE_")]:
        del os.environ[name]
    for program in ("prometheus", "promtool", "redis-server"):
        assert shutil.which(program), f"{program} is not installed: `make setup` says how"
    known = deploy.everything(tideline)
    with tempfile.TemporaryDirectory() as folder:
        watch(tideline, Path(folder), arguments.write)
    with tempfile.TemporaryDirectory() as folder:
        composed(tideline, Path(folder), known)


if __name__ == "__main__":
    main()
