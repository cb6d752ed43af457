#!/usr/bin/env python3
"""Clients people have, against the Postgres wire of a real server: psql, psycopg, asyncpg, SQLAlchemy, pgJDBC, and the
queries of Grafana's PostgreSQL data source. The server has keys and a certificate, as one in earnest would.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import asyncpg
import psycopg
import sqlalchemy

sys.path.insert(0, str(Path(__file__).parent.parent))
from server import Server  # noqa: E402

HERE = Path(__file__).parent
START = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
EVENTS, ORDERS = 600, 60
DRIVER = Path("/usr/share/java/postgresql.jar")
# Rows of a kilobyte that are streamed, and what the server's memory may grow by meanwhile.
STREAMED, GROWTH_KIB = 400_000, 200 << 10
LONG = "SELECT count(*) FROM generate_series(1, 9000000) a, generate_series(1, 9000000) b"


class Failed(Exception):
    """A client did not get what it should."""


def check(condition: object, what: object) -> None:
    if not condition:
        raise Failed(what)


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, stderr=subprocess.DEVNULL)


def certificates(folder: Path, name: str) -> Path:
    """An authority, and a certificate of this machine's from it; the authority's path."""
    authority, cert, key = folder / f"{name}-ca.crt", folder / f"{name}.crt", folder / f"{name}.key"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *curve, "-days", "2", "-subj", f"/CN={name} authority", "-keyout", f"{authority}.key",
            "-out", str(authority))
    openssl("req", *curve, "-subj", "/CN=localhost", "-keyout", str(key), "-out", f"{cert}.csr")
    extensions = folder / "extensions"
    extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", f"{cert}.csr", "-CA", str(authority), "-CAkey", f"{authority}.key",
            "-CAcreateserial", "-days", "2", "-extfile", str(extensions), "-out", str(cert))
    return authority


class Shop:
    """A server with events, and how to reach it."""

    def __init__(self, binary: Path, folder: Path):
        self.folder, data = folder, folder / "data"
        self.keys = {}
        for name in ("admin", "read", "ingest"):
            command = [binary, "keys", "create", "--name", name, "--scopes", name, "--data-dir", data]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            self.keys[name] = re.search(r"tl_[\w-]{43}", printed).group()
        self.authority = certificates(folder, "shop")
        self.stranger = certificates(folder, "stranger")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.server = Server(
            binary, data, f"postgres_listen=127.0.0.1:{self.port}", f"tls.cert_file={folder / 'shop.crt'}",
            f"tls.key_file={folder / 'shop.key'}", "query.timeout=120s", authority=self.authority, key=self.keys["admin"])
        self.dsn = (f"host=localhost port={self.port} dbname=tideline user=analyst password={self.keys['read']} "
                    f"sslmode=verify-full sslrootcert={self.authority}")
        self.fill()

    def fill(self) -> None:
        lines = []
        for n in range(EVENTS):
            at = START + timedelta(seconds=n)
            lines.append({"event_id": f"v{n}", "event_type": "page_view", "event_ts": at.isoformat(), "page": f"/p{n % 7}",
                          "user_id": f"u{n % 50}", "session_id": f"s{n % 80}", "properties": {"n": n}})
        for n in range(ORDERS):
            at = START + timedelta(seconds=10 * n)
            items = [{"product_id": "a", "price": "10.05", "quantity": 2}, {"product_id": "b", "price": "0.10", "quantity": 1}]
            lines.append({"event_id": f"o{n}", "event_type": "purchase", "event_ts": at.isoformat(), "order_id": f"o{n}",
                          "user_id": f"u{n % 50}", "revenue": "20.20", "currency": "EUR", "items": items})
        body = "\n".join(map(json.dumps, lines)).encode()
        receipt = self.server.request("POST", "/events", body, "application/x-ndjson")
        check(receipt["accepted"] == EVENTS + ORDERS, receipt)

    def running(self) -> bool:
        """Whether a query runs besides none: the status is the engine's own."""
        return bool(self.server.request("GET", "/health")["engine"].get("queries_running", 0))

    def memory(self) -> int:
        """What the server's memory was at most, in KiB."""
        status = Path(f"/proc/{self.server.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1))


def psql(shop: Shop, *arguments: str, password: str | None = None, **settings: str) -> subprocess.CompletedProcess:
    environment = {
        "PATH": os.environ["PATH"], "PGHOST": "localhost", "PGPORT": str(shop.port), "PGDATABASE": "tideline",
        "PGUSER": "analyst", "PGPASSWORD": shop.keys["read"] if password is None else password,
        "PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(shop.authority), "PGCONNECT_TIMEOUT": "20", "HOME": str(shop.folder),
    } | settings
    command = ["psql", "--no-psqlrc", "--no-password", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_psql(shop: Shop) -> None:
    def said(*arguments: str, **settings: str) -> str:
        done = psql(shop, *arguments, **settings)
        check(done.returncode == 0, (arguments, done.stderr))
        check("ERROR" not in done.stderr and "WARNING" not in done.stderr, (arguments, done.stderr))
        return done.stdout

    tables = said("-c", r"\dt")
    check("events" in tables and "dead_letters" in tables and "pg_class" not in tables, tables)
    views = said("-c", r"\dv")
    check("orders" in views and "sessions" in views, views)
    check("sales_daily" in said("-c", r"\dv metrics.*"), "metrics are views")
    described = said("-c", r"\d events")
    for column in (r"event_ts\s+\| timestamp with time zone", r"page\s+\| text", r"price\s+\| numeric",
                   r"event_date\s+\| date", r"bot\s+\| boolean", r"quantity\s+\| integer", r"seq\s+\| bigint",
                   r"lat\s+\| double precision"):
        check(re.search(column, described), (column, described))
    check("tideline" in said("-l"), "the database is listed")
    check("tideline" in said("-c", r"\l"), "the database is listed")
    check("metrics" in said("-c", r"\dn"), "schemas are listed")
    said("-c", r"\d"), said("-c", r"\d+ events"), said("-c", r"\conninfo")
    count = said("-Atc", "SELECT count(*), sum(revenue) FROM events")
    check(count == f"{EVENTS + ORDERS}|{Decimal('20.2000') * ORDERS}\n", count)
    check("TLS" in said("-c", r"\conninfo"), "the connection is not encrypted")
    # A variable is put in by psql; several statements; a row at a time.
    script = shop.folder / "script.sql"
    script.write_text("SELECT :n + 1; SELECT 2;\n")
    rows = said("-At", "-v", "n=3", "-f", str(script))
    check(rows.split() == ["4", "2"], rows)
    rows = said("-Atc", "SELECT 1; SELECT 2")
    check(rows.split() == ["1", "2"], rows)
    rows = said("-At", "-v", "FETCH_COUNT=0", "-c", "SELECT event_id FROM events ORDER BY event_id LIMIT 3")
    check(rows.split() == ["o0", "o1", "o10"], rows)


def test_psql_is_refused(shop: Shop) -> None:
    for password in ("tl_wrong", shop.keys["read"][:-1], ""):
        done = psql(shop, "-c", "SELECT 1", password=password or "x")
        check(done.returncode == 2 and "key" in done.stderr and shop.keys["read"] not in done.stderr, done)
    done = psql(shop, "-c", "SELECT 1", password=shop.keys["ingest"])
    check(done.returncode == 2 and "scope" in done.stderr, done)
    done = psql(shop, "-c", "SELECT 1", PGDATABASE="shop")
    check(done.returncode == 2 and "tideline" in done.stderr, done)
    for text in ("COPY events TO STDOUT", "COPY events FROM STDIN", r"\copy events TO '/dev/null'", "CREATE TABLE x (a int)",
                 "INSERT INTO events VALUES (1)", "DELETE FROM events", "SET ROLE admin", "SELECT pg_read_file('/etc/passwd')"):
        done = psql(shop, "-c", text)
        check(done.returncode == 1 and "ERROR" in done.stderr, (text, done))
    check("read-only" in psql(shop, "-c", "COPY events TO STDOUT").stderr, "COPY says why")
    pointed = psql(shop, "-c", "SELECT *\nFROM event")
    check("LINE 2: FROM event" in pointed.stderr and "HINT:  did you mean events" in pointed.stderr, pointed.stderr)


def test_psql_through_tls(shop: Shop) -> None:
    for mode in ("require", "verify-ca", "verify-full"):
        done = psql(shop, "-Atc", "SELECT 1", PGSSLMODE=mode)
        check(done.stdout == "1\n", (mode, done))
    done = psql(shop, "-c", "SELECT 1", PGSSLMODE="verify-ca", PGSSLROOTCERT=str(shop.stranger))
    check(done.returncode == 2 and "certificate" in done.stderr, done)
    # From this machine it may be plain, as long as nobody asks for more.
    check(psql(shop, "-Atc", "SELECT 1", PGSSLMODE="disable").stdout == "1\n", "plain from loopback")


def test_ctrl_c(shop: Shop) -> None:
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD": shop.keys["read"], "HOME": str(shop.folder)}
    command = ["psql", "--no-psqlrc", f"host=localhost port={shop.port} dbname=tideline user=analyst sslmode=require"]
    process = subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    process.stdin.write("SELECT 'ready';\n")
    process.stdin.flush()
    while "ready" not in process.stdout.readline():
        pass
    process.stdin.write(LONG + ";\n")
    process.stdin.flush()
    # There is no way to see from outside that psql waits; what comes too early is not taken for a cancel by psql either.
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate("SELECT 'after';\n" if process.poll() is None else None, timeout=60)
    check("cancelled by its client" in errors, (printed, errors))
    other = psql(shop, "-Atc", "SELECT 'still there'")
    check(other.stdout == "still there\n", other)


def test_psycopg(shop: Shop) -> None:
    with psycopg.connect(shop.dsn) as connection:
        check(connection.info.encoding == "utf-8" and connection.info.server_version >= 150000, connection.info)
        for binary in (False, True):
            with connection.cursor(binary=binary) as cursor:
                cursor.execute(
                    "SELECT event_ts, revenue, event_date, quantity, page, bot, seq, lat, items, tax FROM events "
                    "WHERE event_id = %s", ["o3"])
                at, revenue, day, quantity, page, bot, seq, lat, items, tax = cursor.fetchone()
                check(at == START + timedelta(seconds=30) and day == date(2026, 3, 1), (at, day))
                check(revenue == Decimal("20.2000") and str(revenue) == "20.2000", revenue)
                check((page, quantity, lat, tax) == (None,) * 4 and isinstance(seq, int), (page, quantity, lat))
                check([item["product_id"] for item in items] == ["a", "b"] and items[0]["price"] == 10.05, items)
        typed = [
            ("event_ts >= %s", START + timedelta(seconds=590)), ("event_date = %s", date(2026, 3, 1)), ("seq < %s", 10),
            ("revenue = %s", Decimal("20.20")), ("page = %s", "/p1"), ("event_ts > %s", "2026-03-01T12:09:00Z"),
            ("revenue > %s", 20.1), ("page = ANY(%s)", ["/p1", "/p2"]),
            ("event_ts < %s::timestamptz - interval '1 minute'", START + timedelta(minutes=5)),
        ]
        for condition, value in typed:
            for prepare in (False, True):
                try:
                    found = connection.execute(f"SELECT count(*) FROM events WHERE {condition}", [value], prepare=prepare)
                    found = found.fetchone()[0]
                except psycopg.Error as error:
                    raise Failed((condition, value, str(error))) from error
                check(0 < found < EVENTS + ORDERS or "date" in condition, (condition, value, found))
        echoed = connection.execute(
            "SELECT %s, %s::int8, %s::float8, %s::numeric, %s::date, %s::timestamptz, %s::bool, %s::text",
            ["é\"'\\", 2**62, 0.1, Decimal("12345678901234.5678"), date(1969, 7, 20), START, True, None]).fetchone()
        expected = ("é\"'\\", 2**62, 0.1, date(1969, 7, 20), START, True, None)
        check(echoed[:3] + echoed[4:] == expected and echoed[3] == Decimal("12345678901234.5678"), echoed)
        lists = connection.execute("SELECT ARRAY['a','b,c',NULL], ARRAY[1,2,3], make_array(1.5, 2.5)").fetchone()
        check(lists[0] == ["a", "b,c", None] and lists[1] == [1, 2, 3], lists)
        # Metrics, with bound parameters.
        for call, values in [("metric('sales/daily', 'start=2026-03-01', 'end=2026-03-01')", []),
                             ("metric('sales/daily', 'start', %s, 'end', %s)", ["2026-03-01", date(2026, 3, 1)]),
                             ("metric('sales/daily', %s, 'end=2026-03-01')", ["start=2026-03-01"])]:
            day, orders, net = connection.execute(f"SELECT day, orders, net FROM {call}", values).fetchone()
            check((day, orders) == (date(2026, 3, 1), ORDERS), (call, day, orders))
        over_http = shop.server.request("GET", "/analytics/sales/daily?start=2026-03-01&end=2026-03-01")
        check(Decimal(str(over_http["data"][0]["net"])) == net, (over_http["data"], net))
        connection.execute("SELECT * FROM metrics.sales_daily").fetchall()


def test_psycopg_errors(shop: Shop) -> None:
    with psycopg.connect(shop.dsn, autocommit=True) as connection:
        for text, kind in [
            ("SELECT * FROM event", psycopg.errors.UndefinedTable),
            ("SELECT pages FROM events", psycopg.errors.UndefinedColumn),
            ("SELEC 1", psycopg.errors.SyntaxError),
            ("DROP TABLE events", psycopg.errors.ReadOnlySqlTransaction),
            ("SELECT nothing(1)", psycopg.errors.UndefinedFunction),
            ("SELECT 1/0", psycopg.errors.DivisionByZero),
        ]:
            try:
                connection.execute(text)
            except kind as error:
                check(error.diag.sqlstate and error.diag.message_primary, error)
            else:
                raise Failed(f"{text} was taken")
        try:
            with connection.cursor().copy("COPY events TO STDOUT") as copy:
                list(copy)
        except psycopg.errors.ReadOnlySqlTransaction:
            pass
        else:
            raise Failed("COPY was taken")
        connection.execute("SET statement_timeout = '200ms'")
        try:
            connection.execute(LONG)
        except psycopg.errors.QueryCanceled:
            pass
        else:
            raise Failed("the timeout did not come")
        connection.execute("RESET ALL")
        check(connection.execute("SELECT 1").fetchone() == (1,), "the connection goes on")
    # A failed transaction, a nested one, and a pipeline.
    with psycopg.connect(shop.dsn) as connection:
        try:
            with connection.transaction():
                connection.execute("SELECT 1/0")
        except psycopg.errors.DivisionByZero:
            pass
        with connection.transaction(), connection.transaction():
            check(connection.execute("SELECT 2").fetchone() == (2,), "nested")
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int + 1", [n]) for n in range(20)]
            check([cursor.fetchone()[0] for cursor in cursors] == list(range(1, 21)), "a pipeline")


def test_streams_in_constant_memory(shop: Shop) -> None:
    with psycopg.connect(shop.dsn) as connection:
        connection.execute("SELECT repeat('x', 1000) FROM generate_series(1, 20000)").fetchall()
        before, rows = shop.memory(), 0
        cursor = connection.cursor(binary=True)
        for row in cursor.stream(f"SELECT value, repeat('x', 1000) FROM generate_series(1, {STREAMED})", size=100):
            rows += 1
            check(row[0] == rows, row)
        grown = shop.memory() - before
        check(rows == STREAMED and grown < GROWTH_KIB, f"{rows} rows, and memory grew by {grown} KiB")


def test_asyncpg(shop: Shop) -> None:
    async def run() -> None:
        import ssl
        context = ssl.create_default_context(cafile=str(shop.authority))
        pool = await asyncpg.create_pool(host="localhost", port=shop.port, database="tideline", user="analyst", ssl=context,
                                         password=shop.keys["read"], min_size=2, max_size=4)
        async with pool.acquire() as connection:
            row = await connection.fetchrow(
                "SELECT event_ts, revenue, event_date, seq, items FROM events WHERE event_id = $1", "o3")
            check(row["event_ts"] == START + timedelta(seconds=30) and row["revenue"] == Decimal("20.2000"), row)
            check(row["event_date"] == date(2026, 3, 1) and json.loads(row["items"])[1]["product_id"] == "b", row)
            found = await connection.fetchval(
                "SELECT count(*) FROM events WHERE event_ts BETWEEN $1 AND $2 AND page = $3 AND seq > $4",
                START, START + timedelta(minutes=2), "/p1", 0)
            check(found == sum(1 for n in range(121) if n % 7 == 1), found)
            check(await connection.fetchval("SELECT $1::numeric * 2", Decimal("0.0005")) == Decimal("0.001"), "numeric")
            check(await connection.fetchval("SELECT sum(revenue) FROM events WHERE revenue >= $1", Decimal("1"))
                  == Decimal("20.20") * ORDERS, "money")
            check(await connection.fetchval("SELECT ARRAY['a', NULL]") == ["a", None], "lists")
            async with connection.transaction(readonly=True):
                seen = [record[0] async for record in connection.cursor("SELECT event_id FROM events ORDER BY event_id", prefetch=50)]
            check(len(seen) == EVENTS + ORDERS and seen == sorted(seen), len(seen))
            try:
                await connection.execute("INSERT INTO events VALUES (1)")
            except asyncpg.exceptions.ReadOnlySQLTransactionError:
                pass
            else:
                raise Failed("a write was taken")
            try:
                await connection.fetch(LONG, timeout=0.5)
            except (asyncio.TimeoutError, TimeoutError):
                pass
            else:
                raise Failed("the timeout did not come")
            check(await connection.fetchval("SELECT 1") == 1, "after a cancel")
            day = await connection.fetch("SELECT day, orders FROM metric('sales/daily', 'start', $1, 'end', $2)",
                                         "2026-03-01", "2026-03-01")
            check([tuple(record) for record in day] == [(date(2026, 3, 1), ORDERS)], day)

        async def ask(n: int) -> int:
            # Each comes back to the pool, which resets it.
            return await pool.fetchval("SELECT $1::bigint + count(*) FROM events", n)

        answers = await asyncio.gather(*(ask(n) for n in range(40)))
        check(answers == [n + EVENTS + ORDERS for n in range(40)], answers)
        await pool.close()

    asyncio.run(run())


def test_sqlalchemy(shop: Shop) -> None:
    arguments = {"sslmode": "verify-full", "sslrootcert": str(shop.authority)}
    url = sqlalchemy.URL.create("postgresql+psycopg", "analyst", shop.keys["read"], "localhost", shop.port, "tideline")
    engine = sqlalchemy.create_engine(url, connect_args=arguments)
    inspector = sqlalchemy.inspect(engine)
    check({"public", "metrics"} <= set(inspector.get_schema_names()), inspector.get_schema_names())
    check({"events", "dead_letters", "alerts"} <= set(inspector.get_table_names()), inspector.get_table_names())
    check({"orders", "sessions"} <= set(inspector.get_view_names()), inspector.get_view_names())
    check("sales_daily" in inspector.get_view_names("metrics"), inspector.get_view_names("metrics"))
    columns = {column["name"]: column["type"] for column in inspector.get_columns("events")}
    kinds = {"event_ts": sqlalchemy.TIMESTAMP, "page": sqlalchemy.TEXT, "revenue": sqlalchemy.NUMERIC, "seq": sqlalchemy.BIGINT,
             "event_date": sqlalchemy.DATE, "bot": sqlalchemy.BOOLEAN, "quantity": sqlalchemy.INTEGER}
    for name, kind in kinds.items():
        check(isinstance(columns[name], kind), (name, columns[name]))
    check(inspector.get_pk_constraint("events")["constrained_columns"] == [], "no primary key")
    check(inspector.get_foreign_keys("events") == [] and inspector.get_indexes("events") == [], "no keys")
    metadata = sqlalchemy.MetaData()
    metadata.reflect(engine, only=["events", "orders"], views=True)
    events = metadata.tables["events"]
    query = sqlalchemy.select(events.c.page, sqlalchemy.func.count()).where(
        events.c.event_ts >= START, events.c.page.in_(["/p1", "/p2"])).group_by(events.c.page).order_by(events.c.page).limit(5)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
        expected = [(f"/p{page}", sum(1 for n in range(EVENTS) if n % 7 == page)) for page in (1, 2)]
        check(rows == expected, rows)
    engine.dispose()


def test_grafana(shop: Shop) -> None:
    """Queries as the data source sends them, macros put in."""
    first, last = "2026-03-01T12:00:00Z", "2026-03-01T12:10:00Z"
    search_path = """SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END FROM generate_series(
        array_lower(string_to_array(current_setting('search_path'),','),1),
        array_upper(string_to_array(current_setting('search_path'),','),1)) as i,
        string_to_array(current_setting('search_path'),',') s"""
    tables = f"""SELECT CASE WHEN quote_ident(table_schema) IN ({search_path}) THEN quote_ident(table_name)
        ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS "table" FROM information_schema.tables
        WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog', '_timescaledb_cache')
        ORDER BY CASE WHEN quote_ident(table_schema) IN ({search_path}) THEN 0 ELSE 1 END, 1"""
    columns = f"""SELECT quote_ident(column_name) AS "column", data_type AS "type" FROM information_schema.columns WHERE
        CASE WHEN array_length(parse_ident('public.events'),1) = 2
        THEN quote_ident(table_schema) = (parse_ident('public.events'))[1] AND quote_ident(table_name) = (parse_ident('public.events'))[2]
        ELSE quote_ident(table_name) = 'public.events' AND quote_ident(table_schema) IN ({search_path}) END"""
    queries = {
        "version": "SELECT current_setting('server_version_num')::int/100 as version",
        "timescale": "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'",
        "tables": tables,
        "columns": columns,
        "$__timeGroupAlias(event_ts, 1m), $__timeFilter": f"""SELECT floor(extract(epoch from event_ts)/60)*60 AS "time",
            count(*) AS value FROM events WHERE event_ts BETWEEN '{first}' AND '{last}' GROUP BY 1 ORDER BY 1""",
        "$__timeGroup over metric names": f"""SELECT floor(extract(epoch from event_ts)/300)*300 AS "time", event_type AS metric,
            count(*) FROM events WHERE event_ts BETWEEN '{first}' AND '{last}' GROUP BY 1, 2 ORDER BY 1, 2""",
        "$__timeEpoch": f"""SELECT extract(epoch from event_ts) as "time", revenue FROM events
            WHERE event_ts BETWEEN '{first}' AND '{last}' AND revenue IS NOT NULL LIMIT 10""",
        "$__time": f"""SELECT event_ts AS "time", seq FROM events WHERE event_ts >= '{first}' AND event_ts <= '{last}' LIMIT 10""",
        "$__unixEpochFilter": """SELECT seq FROM events WHERE extract(epoch from event_ts) >= 1772366400
            AND extract(epoch from event_ts) <= 1772367000 LIMIT 3""",
        "a variable's values": "SELECT DISTINCT page AS __text, page AS __value FROM events WHERE page IS NOT NULL ORDER BY 1",
        "a metric": "SELECT day AS time, net FROM metric('sales/daily', 'start=2026-03-01', 'end=2026-03-01')",
    }
    with psycopg.connect(shop.dsn, autocommit=True) as connection:
        connection.prepare_threshold = None
        answers = {}
        for name, text in queries.items():
            for simple in (True, False):
                cursor = psycopg.ClientCursor(connection) if simple else connection.cursor()
                try:
                    answers[name] = cursor.execute(text).fetchall()
                except psycopg.Error as error:
                    raise Failed(f"{name}: {error}") from error
        check(answers["version"] == [(1500,)], answers["version"])
        names = {row[0] for row in answers["tables"]}
        check(any(name.endswith("events") for name in names) and not any("pg_" in name for name in names), names)
        check(dict(answers["columns"])["event_ts"] == "timestamp with time zone", answers["columns"])
        minutes = answers["$__timeGroupAlias(event_ts, 1m), $__timeFilter"]
        check(len(minutes) == 10 and minutes[0] == (1772366400.0, 66), minutes)
        check(len(answers["a variable's values"]) == 7, answers["a variable's values"])


def test_jdbc(shop: Shop) -> None:
    java = shutil.which("java")
    if not java or not DRIVER.exists():
        print("  SKIPPED: java or libpostgresql-jdbc-java is not installed (scripts/setup.sh installs the driver, as root)")
        return
    command = [java, "-Xmx128m", "-cp", str(DRIVER), str(HERE / "Metadata.java"), str(shop.port), str(shop.authority)]
    done = subprocess.run(command, env=os.environ | {"TIDELINE_KEY": shop.keys["read"]}, capture_output=True, text=True, timeout=300)
    check(done.returncode == 0, done.stdout + done.stderr)
    said = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    check(said["product"] == "PostgreSQL" and "events" in said["tables"].split(","), said)
    check("orders" in said["views"].split(",") and "pg_class" not in said["tables"], said)
    check("event_ts:timestamptz" in said["columns"] and "revenue:numeric" in said["columns"], said["columns"])
    check((said["count"], said["money"], said["fetched"]) == (str(EVENTS + ORDERS), "20.2000", str(EVENTS + ORDERS)), said)
    check(said["write"] == "25006" and said["cancelled"] == "57014", said)


TESTS = [test_psql, test_psql_is_refused, test_psql_through_tls, test_ctrl_c, test_psycopg, test_psycopg_errors, test_asyncpg,
         test_sqlalchemy, test_grafana, test_jdbc, test_streams_in_constant_memory]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tideline", type=Path, required=True)
    parser.add_argument("--only", help="tests whose name holds this")
    arguments = parser.parse_args()
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(arguments.tideline.resolve(), Path(folder))
        with shop.server:
            for test in TESTS:
                if arguments.only and arguments.only not in test.__name__:
                    continue
                try:
                    test(shop)
                    print(f"  {test.__name__.removeprefix('test_')}: good", flush=True)
                except Exception as error:  # noqa: BLE001 - each client is a test of its own
                    failed.append(test.__name__)
                    print(f"  {test.__name__.removeprefix('test_')}: {type(error).__name__}: {error}", flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
    print("the Postgres wire: every client got what it should")


if __name__ == "__main__":
    main()
