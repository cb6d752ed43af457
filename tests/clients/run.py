#!/usr/bin/env python3
"""Eight real SDKs against a real server, at once: every event they were given is one row in SQL, although each of them meets a
503, a 429, an answer that never arrives, and a server that is killed while it takes a request and started again. Then
their orders are looked up in the metrics, to the last decimal; and two SDKs meet the server's own rate limit.

`--capture FOLDER` writes what each SDK sends, for tests that run without them.
"""

import argparse
import base64
import gzip
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timezone
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "python"))
from faults import Proxy  # noqa: E402
from server import Server  # noqa: E402 - it is beside this folder

FAULTS = {2: "503", 3: "429", 5: "cut", 7: "kill", 9: "503", 10: "cut"}
# The key's own limit: requests are refused now and then, and none for good.
LIMITED = ("--max-requests", "4")
WAIT_S = 240

NODE = {"segment-node": "segment_node.js", "rudder-node": "rudder_node.js", "posthog-node": "posthog_node.js"}
PYTHON = {"segment-python": "segment.analytics", "analytics-python": "analytics", "rudder-python": "rudder_analytics"}
POSTHOG = "posthog-python"
BROWSER = "segment-browser"
SDKS = [*NODE, *PYTHON, POSTHOG, BROWSER]


def command(sdk: str, plan: Path) -> list[str]:
    if sdk in PYTHON:
        return [sys.executable, HERE / "sdk.py", PYTHON[sdk], plan]
    if sdk == POSTHOG:
        return [sys.executable, HERE / "posthog_python.py", plan]
    return ["node", HERE / NODE.get(sdk, "browser.js"), plan]


def shopping(sdk: str) -> list[dict]:
    """What a shop would send: visits, three orders, a refund, a cancellation, and events of its own. `n` numbers them."""
    who = {"userId": f"u-{sdk}", "anonymousId": f"a-{sdk}"}
    shoe = {"product_id": "shoe", "sku": "S-1", "name": "Shoe", "brand": "Ours", "category": "Shoes", "price": 59.99}
    sock = {"product_id": "sock", "name": "Sock", "price": 3, "quantity": 2, "position": 2}
    page = {"path": "/products/shoe", "url": "https://shop.example/products/shoe?utm_source=ad", "title": "Shoe"}
    calls = [{"call": "identify", **who, "traits": {"plan": "gold"}}]
    for visit in range(4):
        calls += [
            {"call": "page", **who, "name": "Product", "properties": page},
            {"call": "track", **who, "event": "Products Searched", "properties": {"query": "shoes"}},
            {"call": "track", **who, "event": "Product List Viewed", "properties": {"list_id": "l", "products": [shoe, sock]}},
            {"call": "track", **who, "event": "Product Viewed", "properties": shoe},
            {"call": "track", **who, "event": "Product Added", "properties": shoe | {"quantity": 3, "cart_id": f"c{visit}"}},
            {"call": "track", **who, "event": "Product Removed", "properties": shoe | {"quantity": 1, "cart_id": f"c{visit}"}},
            {"call": "track", **who, "event": "Cart Viewed", "properties": {"cart_id": f"c{visit}", "products": [shoe]}},
            {"call": "track", **who, "event": "Checkout Started", "properties": {"order_id": f"{sdk}-{visit}"}},
            {"call": "track", **who, "event": "Checkout Step Viewed", "properties": {"step": 1}},
            {"call": "track", **who, "event": "Payment Info Entered", "properties": {"payment_method": "Visa"}},
            {"call": "track", **who, "event": "Signed Up", "properties": {"plan": "gold", "ümläut": "✓ \"quoted\""}},
        ]

    def order(name: str, event: str, **properties: object) -> dict:
        return {"call": "track", **who, "event": event, "properties": {"order_id": f"{sdk}-{name}", **properties}}

    monopoly = {"product_id": "m", "name": "Monopoly", "price": 19, "quantity": 1}
    calls += [
        # With a subtotal, beside a revenue that is something else.
        order("0", "Order Completed", total=27.5, subtotal=22.5, revenue=25, shipping=3, tax=2, discount=2.5,
              coupon="hasbros", currency="EUR", products=[monopoly, sock]),
        # Without one, in floats as programs compute them: 3 × 59.99, and a tenth off.
        order("1", "Order Completed", total=166.97300000000004, shipping=5, tax=0, discount=17.997000000000003,
              currency="EUR", products=[shoe | {"quantity": 3}]),
        # Only a revenue.
        order("2", "Order Completed", revenue="12.3456", currency="EUR"),
        order("3", "Order Completed", subtotal=99, currency="EUR", products=[shoe]),
        order("3", "Order Cancelled", total=99),
        order("0", "Order Refunded", currency="EUR", products=[{"product_id": "sock", "price": 3, "quantity": 1}]),
        order("9", "Order Completed", subtotal=1000, currency="USD", products=[monopoly]),
        order("2", "Order Updated", revenue=500, currency="EUR"),
        {"call": "group", **who, "groupId": "g1", "traits": {"name": "Group"}},
        {"call": "alias", "userId": f"u-{sdk}", "previousId": f"before-{sdk}"},
    ]
    for n, call in enumerate(calls):
        place = "traits" if call["call"] in ("identify", "group") else "properties"
        if call["call"] != "alias":
            call[place] = call.get(place, {}) | {"n": n}
    return calls


# Of the orders above, for each SDK: gross of the lines, what was taken off, what came back.
SALES = {"orders": 3, "cancelled_orders": 1, "foreign_orders": 1, "duplicate_orders": 0, "gross": Decimal("204.97"),
         "discounts": Decimal("20.497"), "refunds": Decimal(3), "net": Decimal("181.473"), "shipping": Decimal(8),
         "tax": Decimal(2), "order_value": Decimal("196.8186")}
TYPES = {"identify": 1, "page_view": 4, "search": 4, "product_list_view": 4, "product_view": 4, "add_to_cart": 4,
         "remove_from_cart": 4, "view_cart": 4, "checkout_start": 4, "checkout_step": 4, "payment_info": 4, "Signed Up": 4,
         "purchase": 5, "order_cancelled": 1, "refund": 1, "order_updated": 1, "group": 1, "alias": 1}


class Running:
    """A server that can be killed and started again on its folder and port. The SDKs' key may only add events."""

    def __init__(self, binary: Path, folder: Path, *settings: str, limits: tuple[str, ...] = ()):
        self.binary, self.folder, self.settings = binary, folder, settings

        def key(scope: str, *more: str) -> str:
            command = [binary, "keys", "create", "--name", scope, "--scopes", scope, "--data-dir", folder, "--json", *more]
            return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["key"]

        self.key, self.reader = key("ingest", *limits), key("read")
        self.lock, self.kills = threading.Lock(), 0
        self.server = Server(binary, folder, *settings, key=self.reader)

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *failure: object) -> None:
        self.server.__exit__(*failure)

    def kill(self) -> None:
        with self.lock:
            self.server.process.kill()
            self.server.process.wait()
            self.kills += 1
            self.server = Server(self.binary, self.folder, *self.settings, key=self.reader, port=self.server.port)

    def rows(self, sql: str) -> list[dict]:
        with self.lock:
            return self.server.request("POST", "/sql?limit=10000", sql.encode(), "application/sql")["data"]


def start(sdk: str, folder: Path, url: str, key: str, calls: list[dict], snippet: str = "") -> subprocess.Popen:
    plan = folder / f"{sdk}.json"
    plan.write_text(json.dumps({"url": url, "key": key, "calls": calls, "snippet": snippet}))
    return subprocess.Popen(command(sdk, plan), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True)


def finish(sdk: str, process: subprocess.Popen) -> None:
    said, _ = process.communicate(timeout=WAIT_S)
    if process.returncode != 0:
        raise RuntimeError(f"{sdk} ended with {process.returncode}: {said}")


def until(what: str, done: object) -> None:
    deadline = time.monotonic() + WAIT_S
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError(f"did not happen: {what}")
        time.sleep(0.5)


def count(running: Running, sdk: str) -> int:
    return running.rows(f"SELECT count(*) AS n FROM events WHERE user_id = 'u-{sdk}'")[0]["n"]


def through_faults(binary: Path, folder: Path) -> None:
    running = Running(binary, folder / "data", "flush.age=300ms", "log.level=warn")
    plans = {sdk: shopping(sdk) for sdk in SDKS}
    proxies = {sdk: Proxy(running.server.port, FAULTS, running.kill) for sdk in SDKS}
    with running:
        pass_on = {sdk: start(sdk, folder, proxies[sdk].url, running.key, plans[sdk]) for sdk in SDKS}
        for sdk, process in pass_on.items():
            if sdk == BROWSER:
                until(f"{sdk} delivers everything", lambda: count(running, sdk) >= len(plans[sdk]))
            finish(sdk, process)
        check(running, plans, proxies)
    print(f"sdks: the server was killed {running.kills} times meanwhile")


def check(running: Running, plans: dict, proxies: dict) -> None:
    today = datetime.now(timezone.utc).date()
    for sdk, calls in plans.items():
        met = proxies[sdk].seen
        if sorted(met) != sorted(FAULTS.values()):
            raise AssertionError(f"{sdk} met {met} only: {proxies[sdk].posts} requests")
        rows = running.rows(f"""
            SELECT event_type, coalesce(properties->>'n', properties->'traits'->>'n') AS n, event_id, session_id
            FROM events WHERE user_id = 'u-{sdk}' AND event_ts > now() - interval '1 hour'""")
        numbers = sorted(int(row["n"]) for row in rows if row["n"] is not None)
        assert numbers == list(range(len(calls) - 1)), f"{sdk}: {len(calls) - 1} events were numbered, SQL has {numbers}"
        types: dict[str, int] = {}
        for row in rows:
            types[row["event_type"]] = types.get(row["event_type"], 0) + 1
        assert types == TYPES, f"{sdk}: {types}"
        assert len({row["event_id"] for row in rows}) == len(rows)
        sales = running.server.request("GET", f"/analytics/sales/daily?user_id=u-{sdk}&start={today}&end={today}")["data"]
        found = {name: sales[0][name] for name in SALES}
        assert found == SALES, f"{sdk}: {found}, not {SALES}"
        lines = running.rows(f"""
            SELECT product_id, sum(quantity) AS units, sum(amount) AS amount FROM line_items
            WHERE event_type = 'purchase' AND visitor = 'u-{sdk}' AND product_id IS NOT NULL GROUP BY 1 ORDER BY 1""")
        lines = [(line["product_id"], line["units"], Decimal(line["amount"])) for line in lines]
        assert lines == [("m", 2, 38), ("shoe", 4, Decimal("239.96")), ("sock", 2, 6)], f"{sdk}: {lines}"
        known = running.rows(f"SELECT anonymous_id FROM identities WHERE user_id = 'u-{sdk}' ORDER BY 1")
        assert f"before-{sdk}" in [row["anonymous_id"] for row in known], f"{sdk}: {known}"
        print(f"sdks: {sdk}: {len(rows)} events sent in {proxies[sdk].posts} requests, each one row; money agrees")
    pages = running.rows(f"""
        SELECT page, utm_source, channel, bot, os FROM events WHERE user_id = 'u-{BROWSER}' AND event_type = 'view_cart'""")
    assert pages and all(page == {"page": "/products/shoes", "utm_source": "newsletter", "channel": "email", "bot": False,
                                  "os": "Linux"} for page in pages), pages
    letters = running.rows("SELECT count(*) AS n FROM dead_letters")[0]["n"]
    assert letters == 0, f"{letters} dead letters"


def through_limits(binary: Path, folder: Path) -> None:
    running = Running(binary, folder / "data", "rate_limit.window=2s", "log.level=warn", limits=LIMITED)
    with running:
        limited = ["segment-node", "segment-python"]
        plans = {sdk: shopping(sdk) for sdk in limited}
        proxies = {sdk: Proxy(running.server.port, {}, running.kill) for sdk in limited}
        for sdk, process in [(sdk, start(sdk, folder, proxies[sdk].url, running.key, plans[sdk])) for sdk in limited]:
            finish(sdk, process)
        for sdk, calls in plans.items():
            assert count(running, sdk) == len(calls), f"{sdk}: {count(running, sdk)} rows of {len(calls)}"
            refused = proxies[sdk].statuses.count(429)
            assert refused > 0, f"{sdk} was never refused: {proxies[sdk].statuses}"
            print(f"sdks: {sdk}: {len(calls)} events, {refused} of {proxies[sdk].posts} requests were over the limit")


PACKAGES = {"@segment/analytics-next": BROWSER, "@segment/analytics-node": "segment-node",
            "segment-analytics-python": "segment-python", "analytics-python": "analytics-python",
            "@rudderstack/rudder-sdk-node": "rudder-node", "rudder-sdk-python": "rudder-python",
            "posthog-node": "posthog-node", "posthog": POSTHOG}


def as_the_readme_says(binary: Path, folder: Path) -> None:
    """The lines of the README's table, as they stand there but for the port."""
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|$", (HERE.parents[1] / "README.md").read_text(), re.MULTILINE)
    snippets = {PACKAGES[package]: code for package, code in rows if package in PACKAGES}
    assert sorted(snippets) == sorted(SDKS), f"the README names {sorted(snippets)}"
    running = Running(binary, folder / "data", "log.level=warn")
    with running:
        here = {sdk: code.replace("http://127.0.0.1:8080", running.server.url) for sdk, code in snippets.items()}
        assert all(running.server.url in code for code in here.values()), here
        plans = {sdk: shopping(sdk)[:6] for sdk in SDKS}
        started = {sdk: start(sdk, folder, "", running.key, plans[sdk], here[sdk]) for sdk in SDKS}
        for sdk, process in started.items():
            if sdk == BROWSER:
                until(f"{sdk} delivers everything", lambda: count(running, sdk) >= len(plans[sdk]))
            finish(sdk, process)
            assert count(running, sdk) == len(plans[sdk]), f"{sdk}: {count(running, sdk)} rows"
    print("sdks: the README's lines work as they stand there")


class Capture(BaseHTTPRequestHandler):
    """Takes everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        body = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
        self.server.bodies.append((self.path, self.headers["Content-Type"], json.loads(body)))
        self.answer({"success": True})

    def do_GET(self) -> None:
        here = f"{self.headers['Host']}/v1"
        self.answer({"integrations": {"Segment.io": {"apiKey": "tl_test", "apiHost": here, "protocol": "http"}},
                     "metrics": {"sampleRate": 0}})

    def do_OPTIONS(self) -> None:
        self.answer({})

    def answer(self, value: dict) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        for name in ("Origin", "Methods", "Headers"):
            allowed = "authorization, content-type" if name == "Headers" else "*"
            self.send_header(f"Access-Control-Allow-{name}", allowed)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


def capture(into: Path, folder: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    for sdk in SDKS:
        taker = ThreadingHTTPServer(("127.0.0.1", 0), Capture)
        taker.bodies = []
        threading.Thread(target=taker.serve_forever, daemon=True).start()
        # One of each: the visits differ by nothing.
        calls = shopping(sdk)
        calls = calls[:12] + calls[45:]
        process = start(sdk, folder, f"http://127.0.0.1:{taker.server_address[1]}", "tl_test", calls)
        if sdk == BROWSER:
            until("the browser delivers", lambda: len(taker.bodies) >= len(calls))
        finish(sdk, process)
        taker.shutdown()
        requests = [{"path": path, "content_type": kind, "body": body} for path, kind, body in taker.bodies]
        (into / f"{sdk}.json").write_text(json.dumps(requests, indent=None, ensure_ascii=False) + "\n")
        print(f"sdks: {sdk}: {len(requests)} requests captured")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tideline", type=Path, help="the binary")
    parser.add_argument("--capture", type=Path, help="only write what the SDKs send into this folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tideline-sdks-") as folder:
        if arguments.capture:
            capture(arguments.capture, Path(folder))
            return 0
        for number, part in enumerate((as_the_readme_says, through_limits, through_faults)):
            own = Path(folder) / str(number)
            own.mkdir()
            part(arguments.tideline, own)
    print("sdks: every event of every SDK is one row")
    return 0


if __name__ == "__main__":
    sys.exit(main())
