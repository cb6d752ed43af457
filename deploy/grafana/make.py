#!/usr/bin/env python3
"""Writes the dashboards of deploy/grafana/dashboards: `python3 deploy/grafana/make.py`.

Grafana's JSON says a hundred things of each panel; here stands what differs. A test looks that the files are what this
makes, that every name and label in an expression is in a scrape, and that every SQL text runs.
"""

import json
from pathlib import Path

PROMETHEUS = {"type": "prometheus", "uid": "tideline-prometheus"}
SQL = {"type": "postgres", "uid": "tideline-sql"}
WIDTH = 24
HERE = Path(__file__).parent

# Of one server or several.
ONE = '{instance=~"$instance"}'


def of(labels: str) -> str:
    return '{instance=~"$instance",' + labels + "}"


class Dashboard:
    """Panels in rows of 24 columns, from left to right."""

    def __init__(self, uid: str, title: str, about: str, refresh: str, since: str, variables: list):
        self.head = {
            "uid": uid, "title": title, "description": about, "tags": ["tideline"], "refresh": refresh,
            "time": {"from": since, "to": "now"}, "timezone": "", "editable": True, "graphTooltip": 1,
            "schemaVersion": 39, "version": 1, "templating": {"list": variables}, "annotations": {"list": []},
        }
        self.panels: list[dict] = []
        self.x = self.y = self.height = 0

    def row(self, title: str) -> None:
        self.line()
        self.panels.append({
            "id": len(self.panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
            "gridPos": {"x": 0, "y": self.y, "w": WIDTH, "h": 1},
        })
        self.y += 1

    def line(self) -> None:
        self.x, self.y, self.height = 0, self.y + self.height, 0

    def panel(self, kind: str, title: str, targets: list, w: int, h: int, unit: str = "short", about: str = "",
              options: dict | None = None, custom: dict | None = None, **defaults) -> None:
        if self.x + w > WIDTH:
            self.line()
        self.panels.append({
            "id": len(self.panels) + 1, "type": kind, "title": title, "description": about,
            "datasource": targets[0]["datasource"], "targets": targets,
            "gridPos": {"x": self.x, "y": self.y, "w": w, "h": h},
            "fieldConfig": {"defaults": {"unit": unit, "custom": custom or {}, **defaults}, "overrides": []},
            "options": options or {},
        })
        self.x += w
        self.height = max(self.height, h)

    def stat(self, title: str, target: dict, unit: str = "short", w: int = 4, **more) -> None:
        options = {"colorMode": "value", "graphMode": "area", "textMode": "auto",
                   "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
        self.panel("stat", title, [target], w, 4, unit, options=options, **more)

    def graph(self, title: str, targets: list, unit: str = "short", w: int = 8, h: int = 8, fill: int = 10,
              stack: bool = False, bars: bool = False, **more) -> None:
        custom = {"drawStyle": "bars" if bars else "line", "fillOpacity": 60 if bars else fill, "lineWidth": 1,
                  "showPoints": "never", "spanNulls": False,
                  "stacking": {"mode": "normal" if stack else "none", "group": "A"}}
        options = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                   "tooltip": {"mode": "multi", "sort": "desc"}}
        self.panel("timeseries", title, targets, w, h, unit, options=options, custom=custom, **more)

    def table(self, title: str, target: dict, w: int = 12, h: int = 9, unit: str = "short", **more) -> None:
        self.panel("table", title, [target], w, h, unit, options={"showHeader": True, "cellHeight": "sm"}, **more)

    def bars(self, title: str, target: dict, w: int = 8, h: int = 9, unit: str = "short", **more) -> None:
        options = {"orientation": "horizontal", "displayMode": "gradient", "showUnfilled": True, "valueMode": "color",
                   "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": True}}
        self.panel("bargauge", title, [target], w, h, unit, options=options, min=0, **more)

    def write(self, name: str) -> None:
        for panel in self.panels:
            for at, target in enumerate(panel.get("targets", [])):
                target["refId"] = chr(ord("A") + at)
        text = json.dumps({**self.head, "panels": self.panels}, indent=1, ensure_ascii=False)
        (HERE / "dashboards" / f"{name}.json").write_text(text + "\n")


def prom(expr: str, legend: str = "", instant: bool = False) -> dict:
    return {"datasource": PROMETHEUS, "expr": expr, "legendFormat": legend, "instant": instant, "range": not instant}


def sql(text: str, series: bool = False) -> dict:
    return {"datasource": SQL, "rawQuery": True, "editorMode": "code", "format": "time_series" if series else "table",
            "rawSql": " ".join(text.split())}


def rate(name: str, by: str = "", labels: str = "", legend: str = "") -> dict:
    inside = of(labels) if labels else ONE
    total = f"sum by ({by}) " if by else "sum "
    return prom(f"{total}(rate({name}{inside}[$__rate_interval]))", legend or (f"{{{{{by}}}}}" if by else ""))


def quantile(q: float, name: str, by: str = "", legend: str = "") -> dict:
    group = f"le, {by}" if by else "le"
    return prom(
        f"histogram_quantile({q}, sum by ({group}) (rate({name}_bucket{ONE}[$__rate_interval])))",
        legend or f"p{q * 100:g}" + (f" {{{{{by}}}}}" if by else ""),
    )


def gauge(name: str, legend: str, labels: str = "") -> dict:
    return prom(f"sum ({name}{of(labels) if labels else ONE})", legend)


INSTANCE = {
    "name": "instance", "label": "Server", "type": "query", "datasource": PROMETHEUS, "refresh": 2, "sort": 1,
    "query": {"query": "label_values(tideline_build_info, instance)", "refId": "instances"},
    "includeAll": True, "multi": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"},
}

FAILED = 'status="5xx"'
SOLD = "NOT cancelled AND NOT foreign_currency"
BOUGHT = f"$__timeFilter(ordered_at) AND {SOLD}"
SEEN = "$__timeFilter(event_ts) AND bot IS NOT TRUE"


def shop() -> None:
    d = Dashboard(
        "tideline-shop", "E-Commerce Analytics",
        "The shop, in SQL over the Postgres wire: an event that was acknowledged is in the next refresh.", "10s", "now-1h", [],
    )
    d.stat("Revenue", sql(f'SELECT coalesce(sum(value), 0) AS "Revenue" FROM orders WHERE {BOUGHT}'), "none",
           decimals=2, about="Value of orders that were not cancelled, in the shop's currency")
    d.stat("Orders", sql(f'SELECT count(*) AS "Orders" FROM orders WHERE {BOUGHT}'))
    d.stat("Average order", sql(f'SELECT sum(value) / nullif(count(*), 0) AS "Average order" FROM orders WHERE {BOUGHT}'),
           "none", decimals=2)
    d.stat("Conversion", sql(f"""
        SELECT CAST(count(DISTINCT CASE WHEN event_type = 'purchase' THEN session_id END) AS DOUBLE)
               / nullif(count(DISTINCT session_id), 0) AS "Conversion"
        FROM events WHERE {SEEN}"""), "percentunit", decimals=2, about="Sessions with a purchase, of all sessions")
    d.stat("Visitors", sql(f"""
        SELECT count(DISTINCT coalesce(user_id, anonymous_id)) AS "Visitors" FROM events WHERE {SEEN}"""))
    d.stat("Active now", sql("""
        SELECT count(DISTINCT coalesce(user_id, anonymous_id)) AS "Active now" FROM events
        WHERE event_ts > now() - INTERVAL '5 minutes' AND event_ts <= now() + INTERVAL '5 minutes' AND bot IS NOT TRUE"""),
           about="Users with an event in the last five minutes")
    d.graph("Revenue", [sql(f"""
        SELECT $__timeGroupAlias(ordered_at, $__interval), sum(value) AS "Revenue"
        FROM orders WHERE {BOUGHT} GROUP BY 1 ORDER BY 1""", True)], "none", w=12, bars=True)
    d.graph("Page views, carts and purchases", [sql(f"""
        SELECT $__timeGroupAlias(event_ts, $__interval),
               count(*) FILTER (WHERE event_type = 'page_view') AS "Page views",
               count(*) FILTER (WHERE event_type = 'add_to_cart') AS "Into the cart",
               count(*) FILTER (WHERE event_type = 'purchase') AS "Purchases"
        FROM events WHERE {SEEN} GROUP BY 1 ORDER BY 1""", True)], w=12)
    d.bars("Funnel", sql(f"""
        SELECT count(DISTINCT session_id) AS "Sessions",
               count(DISTINCT CASE WHEN event_type = 'product_view' THEN session_id END) AS "Saw a product",
               count(DISTINCT CASE WHEN event_type = 'add_to_cart' THEN session_id END) AS "Put it into the cart",
               count(DISTINCT CASE WHEN event_type = 'checkout_start' THEN session_id END) AS "Began the checkout",
               count(DISTINCT CASE WHEN event_type = 'purchase' THEN session_id END) AS "Bought"
        FROM events WHERE {SEEN}"""), about="Sessions that reached each step, in whatever order")
    d.bars("Revenue by source", sql(f"""
        SELECT coalesce(utm_source, channel, 'unknown') AS "Source", sum(value) AS "Revenue"
        FROM orders WHERE {BOUGHT} GROUP BY 1 ORDER BY 2 DESC LIMIT 8"""), unit="none")
    d.bars("Revenue by country", sql(f"""
        SELECT coalesce(country, 'unknown') AS "Country", sum(value) AS "Revenue"
        FROM orders WHERE {BOUGHT} GROUP BY 1 ORDER BY 2 DESC LIMIT 8"""), unit="none")
    d.table("Top products", sql(f"""
        SELECT coalesce(product_name, product_id, 'unknown') AS "Product", sum(quantity) AS "Units", sum(gross) AS "Gross"
        FROM order_lines WHERE {BOUGHT} GROUP BY 1 ORDER BY 3 DESC LIMIT 10"""), w=8)
    d.table("Top pages", sql(f"""
        SELECT page AS "Page", count(*) AS "Views", count(DISTINCT session_id) AS "Sessions"
        FROM events WHERE {SEEN} AND event_type = 'page_view' AND page IS NOT NULL
        GROUP BY 1 ORDER BY 2 DESC LIMIT 10"""), w=8)
    d.table("Latest orders", sql(f"""
        SELECT ordered_at AS "Time", order_id AS "Order", country AS "Country", value AS "Value", currency AS "Currency"
        FROM orders WHERE $__timeFilter(ordered_at) ORDER BY ordered_at DESC LIMIT 20"""), w=8)
    d.graph("Events by type", [sql(f"""
        SELECT $__timeGroupAlias(event_ts, $__interval), event_type AS metric, count(*) AS events
        FROM events WHERE {SEEN} GROUP BY 1, 2 ORDER BY 1""", True)], w=16, stack=True)
    d.table("Alerts", sql("""
        SELECT opened_at AS "Opened", closed_at AS "Closed", severity AS "Severity", message AS "Message"
        FROM alerts ORDER BY opened_at DESC LIMIT 20"""), w=8, h=8)
    d.write("ecommerce")


def traffic() -> None:
    d = Dashboard("tideline-traffic", "Tideline traffic", "What comes in and how it is answered.", "10s", "now-1h", [INSTANCE])
    d.stat("Requests a second", rate("tideline_http_requests_total"), "reqps")
    d.stat("Answered 5xx", prom(
        f"sum (rate(tideline_http_requests_total{of(FAILED)}[$__rate_interval])) "
        f"/ sum (rate(tideline_http_requests_total{ONE}[$__rate_interval]))"), "percentunit", decimals=2)
    d.stat("Events a second", rate("tideline_ingest_events_total", labels='outcome="accepted"'), "short")
    d.stat("Visible after, p99", quantile(0.99, "tideline_ingest_visible_seconds"), "s")
    d.stat("Connections", gauge("tideline_http_connections", "open"))
    d.stat("Listeners", gauge("tideline_live_listeners", "listening"))
    d.row("Requests")
    d.graph("By route", [rate("tideline_http_requests_total", "route")], "reqps", stack=True)
    d.graph("By status", [rate("tideline_http_requests_total", "status")], "reqps", stack=True)
    d.graph("Time to the answer, p99 by route", [quantile(0.99, "tideline_http_request_duration_seconds", "route")], "s")
    d.graph("Time to the answer", [quantile(q, "tideline_http_request_duration_seconds") for q in (0.5, 0.95, 0.99)], "s")
    d.graph("In flight", [gauge("tideline_http_requests_in_flight", "requests"),
                          gauge("tideline_http_connections", "connections"), gauge("tideline_live_listeners", "listeners")])
    d.graph("Refused by a rate limit", [rate("tideline_rate_limited_total", "policy")], "reqps")
    d.row("Events")
    d.graph("By outcome", [rate("tideline_ingest_events_total", "outcome")], stack=True)
    d.graph("By source", [rate("tideline_ingest_events_total", "source")], stack=True)
    d.graph("Bytes", [rate("tideline_ingest_bytes_total", "source")], "Bps", stack=True)
    d.graph("Not acceptable, by reason", [rate("tideline_ingest_rejected_events_total", "code")], stack=True)
    d.graph("Requests refused, by reason", [rate("tideline_ingest_refused_requests_total", "code")], stack=True)
    d.graph("From arrival to visible", [quantile(q, "tideline_ingest_visible_seconds") for q in (0.5, 0.95, 0.99)], "s")
    d.row("Who is told")
    d.graph("Dead letters", [gauge("tideline_dead_letters", "open")])
    d.graph("Alerts open", [prom(f"sum by (severity) (tideline_alerts_open{ONE})", "{{severity}}")], stack=True)
    d.graph("Notices", [rate("tideline_webhook_notices_total", "outcome"), gauge("tideline_webhook_notices_waiting", "waiting")])
    d.write("traffic")


def internals() -> None:
    d = Dashboard("tideline-internals", "Tideline internals", "The road of an event, from the log to the lake, and queries.",
                  "10s", "now-1h", [INSTANCE])
    d.stat("Version", prom(f"count by (version) (tideline_build_info{ONE})", "{{version}}", True))
    d.stat("Events in the lake", gauge("tideline_lake_rows", "events"))
    d.stat("Lake", gauge("tideline_lake_bytes", "bytes"), "bytes")
    d.stat("Files", gauge("tideline_lake_files", "files"))
    d.stat("Buffer", prom(f"max (tideline_buffer_bytes{ONE} / tideline_buffer_limit_bytes{ONE})"), "percentunit")
    d.stat("Disk left", prom(f"min (tideline_disk_available_bytes{ONE} / tideline_disk_total_bytes{ONE})"), "percentunit")
    d.row("Log")
    d.graph("Sync", [quantile(q, "tideline_wal_sync_duration_seconds") for q in (0.5, 0.99, 0.999)], "s")
    d.graph("Group size", [quantile(0.5, "tideline_wal_group_events", legend="events, p50"),
                           quantile(0.99, "tideline_wal_group_events", legend="events, p99"),
                           quantile(0.99, "tideline_wal_group_requests", legend="requests, p99")])
    d.graph("Written", [rate("tideline_wal_written_bytes_total", legend="bytes")], "Bps")
    d.graph("Size", [gauge("tideline_wal_bytes", "log"), gauge("tideline_wal_limit_bytes", "limit")], "bytes", w=12)
    d.graph("Segments", [gauge("tideline_wal_segments", "files")], w=12)
    d.row("Buffer and lake")
    d.graph("Buffer", [gauge("tideline_buffer_bytes", "buffer"), gauge("tideline_buffer_limit_bytes", "limit")], "bytes")
    d.graph("Oldest event not in the lake", [prom(f"max (tideline_buffer_oldest_seconds{ONE})", "age")], "s")
    d.graph("Events not in the lake", [gauge("tideline_lake_lag_events", "events")])
    d.graph("Flushes", [rate("tideline_flushes_total", "outcome")], "ops")
    d.graph("Flush time", [quantile(q, "tideline_flush_duration_seconds") for q in (0.5, 0.99)], "s")
    d.graph("Events flushed", [rate("tideline_flush_rows_total", legend="events")])
    d.graph("Merges", [rate("tideline_compactions_total", "outcome"),
                       rate("tideline_compaction_files_total", legend="files replaced")], "ops")
    d.graph("Merged bytes", [rate("tideline_compaction_read_bytes_total", legend="read"),
                             rate("tideline_compaction_written_bytes_total", legend="written")], "Bps")
    d.graph("Merge time", [quantile(q, "tideline_compaction_duration_seconds") for q in (0.5, 0.99)], "s")
    d.row("Queries")
    d.graph("By outcome", [rate("tideline_queries_total", "outcome")], "ops", stack=True)
    d.graph("Time by class, p99", [quantile(0.99, "tideline_query_duration_seconds", "class")], "s")
    d.graph("Running and waiting", [gauge("tideline_queries", "running"), gauge("tideline_queries_waiting", "waiting"),
                                    gauge("tideline_queries_limit", "limit")])
    d.graph("Memory", [gauge("tideline_query_memory_bytes", "queries"), gauge("tideline_query_memory_limit_bytes", "limit"),
                       gauge("tideline_query_spill_bytes", "spilled to disk")], "bytes")
    d.graph("Kept to answer sooner", [prom(f"sum by (kind) (tideline_derived_bytes{ONE})", "{{kind}}"),
                                      gauge("tideline_metric_cache_bytes", "answers")], "bytes", stack=True)
    d.graph("Read", [rate("tideline_query_read_bytes_total", legend="bytes from files")], "Bps")
    d.graph("Answers of metrics", [rate("tideline_metric_cache_hits_total", legend="from memory"),
                                   rate("tideline_metric_cache_misses_total", legend="computed")], "ops", w=12)
    d.graph("Rows read", [rate("tideline_query_read_rows_total", legend="events")], w=12)
    d.row("Live windows and Redis")
    d.graph("Ids", [prom(f"sum by (kind) (tideline_hot_ids{ONE})", "{{kind}}"), gauge("tideline_hot_ids_limit", "limit of each")])
    d.graph("Memory", [gauge("tideline_hot_bytes", "windows"), gauge("tideline_dedup_bytes", "event ids")], "bytes")
    d.graph("Behind", [gauge("tideline_hot_lag_events", "windows"), gauge("tideline_redis_lag_events", "Redis")])
    d.graph("Calls of Redis", [quantile(q, "tideline_redis_call_duration_seconds") for q in (0.5, 0.99)], "s")
    d.graph("Calls that failed", [rate("tideline_redis_call_errors_total", "kind")], "ops")
    d.graph("State", [prom(f"sum by (state) (tideline_redis_state{ONE})", "Redis: {{state}}"),
                      prom(f"sum by (state) (tideline_hot_state{ONE})", "windows: {{state}}")])
    d.row("Process")
    process = ONE[:-1] + ',job="tideline"}'
    d.graph("CPU", [prom(f"sum by (instance) (rate(process_cpu_seconds_total{process}[$__rate_interval]))", "{{instance}}")])
    d.graph("Memory", [prom(f"sum by (instance) (process_resident_memory_bytes{process})", "{{instance}}")], "bytes")
    d.graph("Files and threads", [prom(f"sum (process_open_fds{process})", "files and connections"),
                                  prom(f"sum (process_threads{process})", "threads")])
    d.write("internals")


if __name__ == "__main__":
    shop()
    traffic()
    internals()
