-- summary = "Sessions by channel"
-- description = """
-- Sessions that began in the period by the channel they came through: direct, organic, paid, social, email, referral.
-- """
-- cache = "10s"
-- chart = "bars"
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
SELECT channel, count(*) AS sessions, count(DISTINCT visitor) AS visitors, count(*) FILTER (WHERE bounced) AS bounced_sessions,
       count(*) FILTER (WHERE converted) AS converted_sessions,
       CAST(count(*) FILTER (WHERE converted) AS DOUBLE) / nullif(count(*), 0) AS conversion_rate
FROM sessions(shop_midnight($start), shop_day_end($end))
WHERE NOT bot AND ($country IS NULL OR country = $country) AND ($channel IS NULL OR channel = $channel)
    AND ($source IS NULL OR utm_source = $source) AND ($device IS NULL OR device = $device)
    AND ($user_id IS NULL OR user_id = $user_id OR anonymous_id = $user_id)
GROUP BY channel
ORDER BY sessions DESC, channel NULLS LAST
