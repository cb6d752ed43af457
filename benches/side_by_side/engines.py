"""The engines under test, each asked the same way: `query(sql)` answers with rows, `export(sql, path)` with a file."""

import http.client
import json
import os
from pathlib import Path

from . import data


def link_parquet(folder: Path) -> str:
    return f"{folder}/event_date=*/*.parquet"


class DuckDb:
    """DuckDB in this process, over a database file."""

    name = "duckdb"

    def __init__(self, database: Path, threads: int):
        import duckdb

        self.connection = duckdb.connect(str(database), config={"threads": threads})
        self.connection.execute("SET TimeZone = 'UTC'")

    def load_json(self, file: Path) -> None:
        """The events of an NDJSON file into a table, on disk when this returns."""
        members = []
        for group, fields in data.json_types(1).items():
            kind = fields[0][1] if fields[0][0] == "" else (
                "STRUCT(" + ", ".join(f"{name} {kind}" for name, kind in fields) + ")")
            members.append(f"{group}: '{kind}'")
        columns = ", ".join(f"{path or name} AS {name}" for name, _, _, path in data.COLUMNS)
        self.connection.execute(
            f"CREATE TABLE events AS SELECT {columns}, CAST(event_ts AS DATE) AS event_date "
            f"FROM read_ndjson('{file}', columns = {{{', '.join(members)}}})")
        self.connection.execute("CHECKPOINT")

    def load_parquet(self, folder: Path) -> None:
        """The same rows as the Parquet files, in the order of time, in a table of its own."""
        self.connection.execute(f"CREATE TABLE events AS SELECT * FROM {self.parquet(folder)} ORDER BY event_ts")
        self.connection.execute("CHECKPOINT")

    def has(self, table: str) -> bool:
        return bool(self.query(f"SELECT 1 FROM duckdb_tables() WHERE table_name = '{table}'"))

    def parquet(self, folder: Path) -> str:
        return f"read_parquet('{link_parquet(folder)}', hive_partitioning = true)"

    def query(self, sql: str) -> list[tuple]:
        return self.connection.execute(sql).fetchall()

    def export(self, sql: str, path: Path) -> None:
        self.connection.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")

    def close(self) -> None:
        self.connection.close()


class ChDb:
    """chDB (ClickHouse) in this process, over a folder."""

    name = "chdb"

    def __init__(self, folder: Path, threads: int):
        from chdb import session

        self.session = session.Session(str(folder))
        self.run("CREATE DATABASE IF NOT EXISTS bench ENGINE = Atomic")
        self.run(f"SET max_threads = {threads}")

    def run(self, sql: str, form: str = "JSONCompactEachRow"):
        return self.session.query(sql, form)

    def load_json(self, file: Path) -> None:
        """The events of an NDJSON file into a MergeTree, its parts synced when this returns."""
        self._create([(name, kind) for name, _, kind, _ in data.COLUMNS])
        members = []
        for group, fields in data.json_types(2).items():
            kind = fields[0][1] if fields[0][0] == "" else (
                "Tuple(" + ", ".join(f"{name} {kind}" for name, kind in fields) + ")")
            members.append(f"{group} {kind}")
        structure = ", ".join(members).replace("'", "\\'")
        columns = ", ".join(f"{path or name} AS {name}" for name, _, _, path in data.COLUMNS)
        self.run(f"INSERT INTO bench.events ({', '.join(data.NAMES)}) SELECT {columns} "
                 f"FROM file('{file}', 'JSONEachRow', '{structure}')")

    def load_parquet(self, folder: Path) -> None:
        """The same rows as the Parquet files in a MergeTree, merged as far as it goes."""
        known = {name: kind for name, _, kind, _ in data.COLUMNS}
        rows = self.query(f"DESCRIBE TABLE {self.parquet(folder)}")
        self._create([(name, known.get(name, kind)) for name, kind, *_ in rows if name != "event_date"])
        columns = ", ".join(row[0] for row in rows if row[0] != "event_date")
        self.run(f"INSERT INTO bench.events ({columns}) SELECT {columns} FROM {self.parquet(folder)}")
        self.run("OPTIMIZE TABLE bench.events FINAL")

    def _create(self, columns: list[tuple[str, str]]) -> None:
        body = ", ".join(f"`{name}` {kind}" for name, kind in columns)
        self.run(f"CREATE TABLE bench.events ({body}, event_date Date MATERIALIZED toDate(event_ts)) "
                 "ENGINE = MergeTree ORDER BY event_ts "
                 "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1")

    def has(self, table: str) -> bool:
        return self.query(f"EXISTS TABLE {table}") == [(1,)]

    def parquet(self, folder: Path) -> str:
        return f"file('{link_parquet(folder)}', 'Parquet')"

    def query(self, sql: str) -> list[tuple]:
        text = self.run(sql).bytes()
        return [tuple(json.loads(line)) for line in text.splitlines()]

    def export(self, sql: str, path: Path) -> None:
        self.run(f"INSERT INTO FUNCTION file('{path}', 'Parquet') {sql} SETTINGS engine_file_truncate_on_insert = 1")

    def close(self) -> None:
        self.session.close()


class DataFusion:
    """DataFusion's `COPY` in this process: JSON to one Parquet file, which nothing queries here."""

    name = "datafusion"

    def __init__(self, file: Path, threads: int):
        from datafusion import SessionConfig, SessionContext

        self.file = file
        self.context = SessionContext(SessionConfig().with_target_partitions(threads))

    def load_json(self, file: Path) -> None:
        """The events of an NDJSON file as Parquet, synced when this returns."""
        import pyarrow as pa

        text, money = pa.string(), pa.decimal128(18, 4)
        kinds = {"VARCHAR": text, "TIMESTAMPTZ": pa.timestamp("us", "UTC"), "INTEGER": pa.int32(),
                 "DECIMAL(18,4)": money, "BOOLEAN": pa.bool_(), "DOUBLE": pa.float64()}
        item = [("product_id", text), ("name", text), ("category", text), ("brand", text), ("price", money),
                ("quantity", pa.int32())]
        kinds[data.ITEM] = pa.list_(pa.struct(item))
        members = []
        for group, fields in data.json_types(1).items():
            whole = fields[0][0] == ""
            members.append((group, kinds[fields[0][1]] if whole else pa.struct([(n, kinds[k]) for n, k in fields])))
        self.context.register_json("source", str(file), schema=pa.schema(members), file_extension=file.suffix)
        columns = ", ".join(
            f"{path.partition('.')[0]}['{path.partition('.')[2]}'] AS {name}" if path else name
            for name, _, _, path in data.COLUMNS)
        self.context.sql(f"COPY (SELECT {columns} FROM source) TO '{self.file}' STORED AS PARQUET "
                         "OPTIONS ('compression' 'zstd(1)')").collect()
        with self.file.open("rb") as written:
            os.fsync(written.fileno())

    def query(self, sql: str) -> list[tuple]:
        self.context.register_parquet("events", str(self.file))
        return [tuple(row.values()) for row in self.context.sql(sql).to_pylist()]

    def close(self) -> None:
        pass


class Tideline:
    """A running server, asked over one HTTP connection."""

    name = "tideline"

    def __init__(self, address: str):
        self.connection = http.client.HTTPConnection(address, timeout=600)

    def request(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        self.connection.request(method, path, body, {"content-type": kind})
        response = self.connection.getresponse()
        text = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path} answered {response.status}: {text[:2000].decode(errors='replace')}")
        return text

    def post(self, path: str) -> dict:
        text = self.request("POST", path)
        return json.loads(text) if text else {}

    def query(self, sql: str) -> list[tuple]:
        answer = json.loads(self.request("POST", "/sql", json.dumps({"q": sql}).encode()))
        assert not answer["truncated"], sql
        names = [column["name"] for column in answer["meta"]]
        return [tuple(row[name] for name in names) for row in answer["data"]]

    def export(self, sql: str, path: Path) -> None:
        path.write_bytes(self.request("POST", "/sql.parquet", sql.encode(), "application/sql"))

    def close(self) -> None:
        self.connection.close()
