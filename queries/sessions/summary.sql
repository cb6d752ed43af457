-- summary = "Sessions: how many, how long, how deep"
-- description = """
-- Sessions that began in the period. Duration is from the first event to the last, depth is page views; percentiles
-- are exact. A session of a single event lasts 0.
-- """
-- cache = "10s"
-- chart = "table"
-- units = { sessions = "count", visitors = "count", duration_ms_avg = "milliseconds", duration_ms_p50 = "milliseconds", duration_ms_p90 = "milliseconds", bounce_rate = "ratio" }
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
-- [params.by]
-- type = "enum"
-- values = ["all", "channel", "source", "medium", "campaign", "country", "city", "device", "os"]
-- default = "all"
-- doc = "what to group by, as it was at the start of the session"
--
-- [params.country]
-- type = "string"
-- optional = true
-- doc = "only sessions that began there"
--
-- [params.channel]
-- type = "string"
-- optional = true
-- doc = "only sessions of this channel"
--
-- [params.source]
-- type = "string"
-- optional = true
-- doc = "only sessions of this utm_source"
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
SELECT CASE $by WHEN 'channel' THEN channel WHEN 'source' THEN utm_source WHEN 'medium' THEN utm_medium
                  WHEN 'campaign' THEN utm_campaign WHEN 'country' THEN country WHEN 'city' THEN city
                  WHEN 'device' THEN device WHEN 'os' THEN os ELSE 'all' END AS name,
       count(*) AS sessions, count(DISTINCT visitor) AS visitors, sum(events) AS events, sum(page_views) AS page_views,
       sum(duration_ms) AS duration_ms, CAST(sum(duration_ms) AS DOUBLE) / nullif(count(*), 0) AS duration_ms_avg,
       percentile_cont(CAST(duration_ms AS DOUBLE), 0.5) AS duration_ms_p50,
       percentile_cont(CAST(duration_ms AS DOUBLE), 0.9000000000001) AS duration_ms_p90,
       CAST(sum(page_views) AS DOUBLE) / nullif(count(*), 0) AS depth_avg,
       percentile_cont(CAST(page_views AS DOUBLE), 0.5) AS depth_p50,
       count(*) FILTER (WHERE bounced) AS bounced_sessions,
       CAST(count(*) FILTER (WHERE bounced) AS DOUBLE) / nullif(count(*), 0) AS bounce_rate
FROM sessions(shop_midnight($start), shop_day_end($end))
WHERE NOT bot AND ($country IS NULL OR country = $country) AND ($channel IS NULL OR channel = $channel)
    AND ($source IS NULL OR utm_source = $source) AND ($device IS NULL OR device = $device)
    AND ($user_id IS NULL OR user_id = $user_id OR anonymous_id = $user_id)
GROUP BY CASE $by WHEN 'channel' THEN channel WHEN 'source' THEN utm_source WHEN 'medium' THEN utm_medium
                  WHEN 'campaign' THEN utm_campaign WHEN 'country' THEN country WHEN 'city' THEN city
                  WHEN 'device' THEN device WHEN 'os' THEN os ELSE 'all' END
ORDER BY sessions DESC, name NULLS LAST
