-- summary = "One page over time"
-- description = """
-- Views of one page by minute, hour or local day, with visitors, and the load times that browsers measured.
-- bucket_start is the moment the bucket begins.
-- """
-- cache = "10s"
-- chart = "line"
-- units = { views = "count", visitors = "count", sessions = "count", load_ms_p50 = "milliseconds" }
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
-- doc = "the page"
--
-- [params.bucket]
-- type = "enum"
-- values = ["minute", "hour", "day"]
-- default = "hour"
-- doc = "how long a bucket is"
--
-- [params.user_id]
-- type = "string"
-- optional = true
-- doc = "only this user: a user_id, or an anonymous_id"
SELECT CASE $bucket WHEN 'day' THEN shop_midnight(shop_day(event_ts)) WHEN 'hour' THEN date_trunc('hour', event_ts)
                    ELSE date_trunc('minute', event_ts) END AS bucket_start,
       count(*) AS views, count(DISTINCT coalesce(user_id, anonymous_id)) AS visitors,
       count(DISTINCT session_id) AS sessions, percentile_cont(CAST(load_ms AS DOUBLE), 0.5) AS load_ms_p50
FROM events
WHERE event_ts >= shop_midnight($start) AND event_ts < shop_day_end($end) AND event_type = 'page_view' AND page = $page AND bot IS NOT TRUE AND ($user_id IS NULL OR user_id = $user_id OR anonymous_id = $user_id)
GROUP BY CASE $bucket WHEN 'day' THEN shop_midnight(shop_day(event_ts)) WHEN 'hour' THEN date_trunc('hour', event_ts)
                      ELSE date_trunc('minute', event_ts) END
ORDER BY bucket_start
