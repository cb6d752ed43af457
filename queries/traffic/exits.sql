-- summary = "Pages on which sessions ended"
-- description = """
-- Sessions that began in the period, by the last page of any of their events. share = sessions / all_sessions, of
-- those with a page.
-- """
-- cache = "10s"
-- chart = "bars"
-- units = { sessions = "count", bounced_sessions = "count", bounce_rate = "ratio", all_sessions = "count", share = "ratio" }
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
-- default = 20
-- min = 1
-- max = 10000
-- doc = "how many rows"
SELECT exit_page AS page, count(*) AS sessions, count(*) FILTER (WHERE bounced) AS bounced_sessions,
       CAST(count(*) FILTER (WHERE bounced) AS DOUBLE) / nullif(count(*), 0) AS bounce_rate,
       sum(count(*)) OVER () AS all_sessions, CAST(count(*) AS DOUBLE) / nullif(sum(count(*)) OVER (), 0) AS share
FROM sessions(shop_midnight($start), shop_day_end($end))
WHERE exit_page IS NOT NULL AND NOT bot AND ($country IS NULL OR country = $country) AND ($channel IS NULL OR channel = $channel)
    AND ($source IS NULL OR utm_source = $source) AND ($device IS NULL OR device = $device)
    AND ($user_id IS NULL OR user_id = $user_id OR anonymous_id = $user_id)
GROUP BY exit_page
ORDER BY sessions DESC, page
LIMIT $limit
