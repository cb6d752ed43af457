-- summary = "How fast pages load"
-- description = """
-- Percentiles of load_ms over the events that carry it, by page; exact.
-- """
-- cache = "10s"
-- chart = "table"
-- units = { measured = "count", load_ms_p50 = "milliseconds", load_ms_p75 = "milliseconds", load_ms_p95 = "milliseconds", load_ms_max = "milliseconds" }
--
-- [params.start]
-- type = "date"
-- default = "-29d"
-- doc = "first day, in the shop's time zone"
--
-- [params.end]
-- type = "date"
-- default = "today"
-- doc = "last day"
--
-- [params.page]
-- type = "string"
-- optional = true
-- doc = "only this page"
--
-- [params.country]
-- type = "string"
-- optional = true
-- doc = "only from there"
--
-- [params.device]
-- type = "enum"
-- values = ["mobile", "desktop"]
-- optional = true
-- doc = "only on phones and tablets, or only on others"
--
-- [params.user_id]
-- type = "string"
-- optional = true
-- doc = "only this user: a user_id, or an anonymous_id"
--
-- [params.limit]
-- type = "integer"
-- default = 20
-- min = 1
-- max = 10000
-- doc = "how many rows"
SELECT page, count(*) AS measured, percentile_cont(CAST(load_ms AS DOUBLE), 0.5) AS load_ms_p50,
       percentile_cont(CAST(load_ms AS DOUBLE), 0.75) AS load_ms_p75,
       percentile_cont(CAST(load_ms AS DOUBLE), 0.9500000000001) AS load_ms_p95, max(load_ms) AS load_ms_max
FROM events
WHERE event_ts >= shop_midnight($start) AND event_ts < shop_day_end($end) AND load_ms IS NOT NULL AND ($page IS NULL OR page = $page) AND (bot IS NOT TRUE AND ($user_id IS NULL OR user_id = $user_id OR anonymous_id = $user_id))
  AND ($country IS NULL OR country = $country)
  AND ($device IS NULL OR mobile = ($device = 'mobile'))
GROUP BY page
ORDER BY measured DESC, page NULLS LAST
LIMIT $limit
