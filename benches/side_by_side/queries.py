"""The query suite: what is asked, in each engine's dialect.

`{events}` is the table. Where the dialects differ only in the name of a function, the text is shared and a word in
angle brackets stands for it, see WORDS. `{end}` is the time of the newest event, `{hour}` the start of the hour
that is exported, `{day}` a day in the middle. Where the ways differ, a question has a text for each engine: ours are
the functions for shops, DuckDB's window functions, chDB's windowFunnel and arrays.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

ENGINES = ("tideline", "duckdb", "chdb")

WORDS = {
    "<minute>": {
        "tideline": "date_trunc('minute', event_ts)",
        "duckdb": "time_bucket(INTERVAL 1 minute, event_ts)",
        "chdb": "toStartOfMinute(event_ts)",
    },
    "<approx_distinct>": {"tideline": "approx_distinct", "duckdb": "approx_count_distinct", "chdb": "uniq"},
}


@dataclass(frozen=True)
class Query:
    """One question."""

    name: str
    title: str
    # One text for all, or one for each engine.
    sql: str | dict[str, str]
    # The answer is an estimate: engines may differ by a few percent.
    approximate: bool = False
    # The answer is a Parquet file.
    export: bool = False

    def text(self, engine: str) -> str:
        """Its text for an engine, before words and times are filled in."""
        return self.sql if isinstance(self.sql, str) else self.sql[engine]


def _active(name: str, title: str, since: str) -> Query:
    return Query(name, title, "SELECT count(DISTINCT user_id) AS users FROM {events} "
                              f"WHERE event_ts > {{{since}}} AND event_ts <= {{end}}")


def _top_pages(name: str, title: str, condition: str) -> Query:
    return Query(name, title, "SELECT page, count(*) AS views FROM {events} WHERE event_type = 'page_view'"
                              f"{condition} GROUP BY page ORDER BY views DESC, page LIMIT 10")


STEPS = ("product_view", "add_to_cart", "checkout_start", "purchase")
_STEPS = ", ".join(f"'{step}'" for step in STEPS)


def _funnel() -> Query:
    """How many sessions came to each step, in the order of time. chDB's window is longer than all events take."""
    passes, source, since = [], "{events}", f"event_type IN ({_STEPS})"
    for number, step in enumerate(STEPS, start=1):
        passes.append(f"p{number} AS (SELECT session_id, event_ts, event_type, min(event_ts) FILTER (WHERE event_type = "
                      f"'{step}') OVER (PARTITION BY session_id) AS t FROM {source} WHERE {since})")
        source, since = f"p{number}", "event_ts >= t"
    reached = ", ".join(f"(SELECT count(DISTINCT session_id) FROM p{n} WHERE t IS NOT NULL)" for n in range(1, 5))
    conditions = ", ".join(f"event_type = '{step}'" for step in STEPS)
    return Query("funnel", "four-step funnel by session", {
        "tideline": "SELECT n[1] AS s1, n[2] AS s2, n[3] AS s3, n[4] AS s4 FROM (SELECT funnel_count(session_id, event_ts, "
                    f"event_type, [{_STEPS}]) AS n FROM {{events}} WHERE event_type IN ({_STEPS}))",
        "duckdb": f"WITH {', '.join(passes)} SELECT {reached}",
        "chdb": f"SELECT {', '.join(f'countIf(level >= {n})' for n in range(1, 5))} FROM (SELECT windowFunnel(100000000000000)"
                f"(toUInt64(toUnixTimestamp64Micro(event_ts)), {conditions}) AS level FROM {{events}} "
                f"WHERE event_type IN ({_STEPS}) GROUP BY session_id)",
    })


def _visits() -> Query:
    """Visits of users, half an hour apart."""
    return Query("visits", "visits by a gap of 30 minutes", {
        "tideline": "SELECT count(*) AS users, sum(n) AS visits FROM (SELECT session_count(event_ts, INTERVAL '30 minutes') "
                    "AS n FROM {events} WHERE user_id IS NOT NULL GROUP BY user_id)",
        "duckdb": "SELECT count(DISTINCT user_id), count(*) FILTER (WHERE gap IS NULL OR gap >= INTERVAL 30 minutes) FROM "
                  "(SELECT user_id, event_ts - lag(event_ts) OVER (PARTITION BY user_id ORDER BY event_ts) AS gap "
                  "FROM {events} WHERE user_id IS NOT NULL)",
        "chdb": "SELECT count(), sum(n) FROM (SELECT 1 + arrayCount(gap -> gap >= 1800000, arrayDifference(arraySort("
                "groupArray(toUnixTimestamp64Milli(event_ts))))) AS n FROM {events} WHERE user_id IS NOT NULL GROUP BY user_id)",
    })


def _retention() -> Query:
    """Users by their first week, and how many of them came in each of the five weeks from it on."""
    weeks = range(5)
    return Query("retention", "weekly retention", {
        "tideline": f"SELECT cohort, {', '.join(f'users[{k + 1}] AS w{k}' for k in weeks)} FROM (SELECT r['first'] AS cohort, "
                    "count_each(r['active']) AS users FROM (SELECT retention((CAST(event_date AS INT) + 3) / 7, 5) AS r "
                    "FROM {events} WHERE user_id IS NOT NULL GROUP BY user_id) GROUP BY 1) ORDER BY cohort",
        "duckdb": "WITH w AS (SELECT DISTINCT user_id, (date_diff('day', DATE '1970-01-01', event_date) + 3) // 7 AS week "
                  "FROM {events} WHERE user_id IS NOT NULL), f AS (SELECT user_id, min(week) AS cohort FROM w GROUP BY user_id) "
                  f"SELECT cohort, {', '.join(f'count(*) FILTER (WHERE week = cohort + {k})' for k in weeks)} "
                  "FROM w JOIN f USING (user_id) GROUP BY cohort ORDER BY cohort",
        "chdb": f"SELECT arrayMin(weeks) AS cohort, {', '.join(f'countIf(has(weeks, arrayMin(weeks) + {k}))' for k in weeks)} "
                "FROM (SELECT groupUniqArray(intDiv(toInt32(toDate(event_ts)) + 3, 7)) AS weeks FROM {events} "
                "WHERE user_id IS NOT NULL GROUP BY user_id) GROUP BY cohort ORDER BY cohort",
    })


def _durations() -> Query:
    """How long sessions take, in microseconds: exact percentiles, interpolated."""
    def of(percentile: str, duration: str) -> str:
        return (f"SELECT {', '.join(percentile.format(p) for p in (0.5, 0.9, 0.99))} FROM (SELECT {duration} AS us "
                "FROM {events} WHERE session_id IS NOT NULL GROUP BY session_id)")
    return Query("durations", "session duration percentiles", {
        "tideline": of("percentile_cont(CAST(us AS DOUBLE), {0}) AS \"p{0}\"",
                       "CAST(max(event_ts) AS BIGINT) - CAST(min(event_ts) AS BIGINT)"),
        "duckdb": of("quantile_cont(us, {0})", "epoch_us(max(event_ts)) - epoch_us(min(event_ts))"),
        "chdb": of("quantileExactInclusive({0})(us)",
                   "toUnixTimestamp64Micro(max(event_ts)) - toUnixTimestamp64Micro(min(event_ts))"),
    })


QUERIES = [
    Query("count_by_day", "count by day",
          "SELECT event_date, count(*) AS events FROM {events} GROUP BY event_date ORDER BY event_date"),
    _active("users_5min", "distinct users, last 5 min", "minutes_5"),
    _active("users_1h", "distinct users, last hour", "hours_1"),
    _active("users_1d", "distinct users, last day", "days_1"),
    _top_pages("pages_15min", "top 10 pages, last 15 min", " AND event_ts > {minutes_15} AND event_ts <= {end}"),
    _top_pages("pages_all", "top 10 pages, all", ""),
    Query("revenue_by_day", "revenue and AOV per day",
          "SELECT event_date, sum(revenue) AS sales, count(DISTINCT order_id) AS orders, "
          "sum(revenue) / count(DISTINCT order_id) AS aov FROM {events} "
          "WHERE event_type = 'purchase' GROUP BY event_date ORDER BY event_date"),
    Query("kpi_by_minute", "KPI per minute of a day",
          "SELECT <minute> AS minute, count(*) FILTER (WHERE event_type = 'page_view') AS page_views, "
          "count(*) FILTER (WHERE event_type = 'add_to_cart') AS add_to_carts, "
          "count(*) FILTER (WHERE event_type = 'purchase') AS purchases, "
          "sum(revenue) FILTER (WHERE event_type = 'purchase') AS revenue, "
          "count(DISTINCT user_id) AS users, count(DISTINCT session_id) AS sessions FROM {events} "
          "WHERE event_ts >= {day} AND event_ts < {day_after} GROUP BY 1 ORDER BY 1"),
    Query("conversion_by_source", "conversion per utm_source",
          "SELECT utm_source, count(DISTINCT session_id) AS sessions, "
          "count(DISTINCT session_id) FILTER (WHERE event_type = 'purchase') AS buying FROM {events} "
          "GROUP BY utm_source ORDER BY sessions DESC"),
    Query("top_products", "top 100 products by revenue (orders of one product)",
          "SELECT product_id, sum(price * quantity) AS revenue, sum(quantity) AS units FROM {events} "
          "WHERE event_type = 'purchase' AND product_id IS NOT NULL "
          "GROUP BY product_id ORDER BY revenue DESC, product_id LIMIT 100"),
    Query("country_os", "revenue by country and os",
          "SELECT country, os, sum(revenue) AS revenue, count(*) AS purchases FROM {events} "
          "WHERE event_type = 'purchase' GROUP BY country, os ORDER BY country, os"),
    Query("approx_users_by_day", "approximate distinct users per day",
          "SELECT event_date, <approx_distinct>(user_id) AS users FROM {events} GROUP BY event_date ORDER BY event_date",
          approximate=True),
    Query("user_last_100", "one user's last 100 events",
          "SELECT event_ts, event_type, page, event_id FROM {events} WHERE user_id = 'u_000040' "
          "ORDER BY event_ts DESC, event_id LIMIT 100"),
    Query("like_page", "LIKE on page", "SELECT count(*) AS events FROM {events} WHERE page LIKE '%sku_0012%'"),
    Query("export_hour", "one hour exported to Parquet",
          "SELECT * FROM {events} WHERE event_ts >= {hour} AND event_ts < {hour_after}", export=True),
    _funnel(),
    _visits(),
    _retention(),
    _durations(),
]


def times(end: datetime) -> dict[str, datetime]:
    """The instants that queries speak of, from the time of the newest event."""
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    day = midnight - timedelta(days=12)
    hour = day + timedelta(hours=20)
    return {
        "end": end,
        "minutes_5": end - timedelta(minutes=5),
        "minutes_15": end - timedelta(minutes=15),
        "hours_1": end - timedelta(hours=1),
        "days_1": end - timedelta(days=1),
        "day": day,
        "day_after": day + timedelta(days=1),
        "hour": hour,
        "hour_after": hour + timedelta(hours=1),
    }


def _literal(engine: str, at: datetime) -> str:
    text = at.strftime("%Y-%m-%d %H:%M:%S.") + f"{at.microsecond // 1000:03}"
    match engine:
        case "tideline":
            return f"'{text.replace(' ', 'T')}Z'"
        case "duckdb":
            return f"TIMESTAMPTZ '{text}+00'"
        case _:
            return f"toDateTime64('{text}', 3, 'UTC')"


def render(query: Query, engine: str, events: str, end: datetime) -> str:
    """The text of a query for an engine."""
    sql = query.text(engine)
    for word, meaning in WORDS.items():
        sql = sql.replace(word, meaning[engine])
    return sql.format(events=events, **{name: _literal(engine, at) for name, at in times(end).items()})
