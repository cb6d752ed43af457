-- summary = "Where sessions came from"
-- description = """
-- Sessions that began in the period by channel, utm_source, utm_medium and utm_campaign at their start.
-- """
-- cache = "10s"
-- chart = "table"
-- units = { sessions = "count", visitors = "count", converted_sessions = "count", conversion_rate = "ratio" }
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
--
-- [params.limit]
-- type = "integer"
-- default = 100
-- min = 1
-- max = 10000
-- doc = "how many rows"
SELECT channel, utm_source, utm_medium, utm_campaign, count(*) AS sessions, count(DISTINCT visitor) AS visitors,
       count(*) FILTER (WHERE converted) AS converted_sessions,
       CAST(count(*) FILTER (WHERE converted) AS DOUBLE) / nullif(count(*), 0) AS conversion_rate
FROM sessions(shop_midnight($start), shop_day_end($end))
WHERE NOT bot AND ($country IS NULL OR country = $country) AND ($channel IS NULL OR channel = $channel)
    AND ($source IS NULL OR utm_source = $source) AND ($device IS NULL OR device = $device)
    AND ($user_id IS NULL OR user_id = $user_id OR anonymous_id = $user_id)
GROUP BY channel, utm_source, utm_medium, utm_campaign
ORDER BY sessions DESC, channel NULLS LAST, utm_source NULLS LAST, utm_medium NULLS LAST, utm_campaign NULLS LAST
LIMIT $limit
