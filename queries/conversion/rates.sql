-- summary = "Conversion, add-to-cart and bounce rate"
-- description = """
-- Of the sessions that began in the period: with a purchase, with something put into the cart, and with a single page
-- view and nothing else. Each rate is that number of sessions over all sessions, as they were at their start.
-- """
-- path = "/conversion"
-- cache = "10s"
-- chart = "table"
-- units = { sessions = "count", viewing_sessions = "count", adding_sessions = "count", checkout_sessions = "count", converted_sessions = "count", bounced_sessions = "count", conversion_rate = "ratio", add_to_cart_rate = "ratio", bounce_rate = "ratio" }
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
       count(*) AS sessions,
       count(*) FILTER (WHERE product_views > 0) AS viewing_sessions,
       count(*) FILTER (WHERE add_to_carts > 0) AS adding_sessions,
       count(*) FILTER (WHERE checkout_started) AS checkout_sessions,
       count(*) FILTER (WHERE converted) AS converted_sessions,
       count(*) FILTER (WHERE bounced) AS bounced_sessions,
       CAST(count(*) FILTER (WHERE converted) AS DOUBLE) / nullif(count(*), 0) AS conversion_rate,
       CAST(count(*) FILTER (WHERE add_to_carts > 0) AS DOUBLE) / nullif(count(*), 0) AS add_to_cart_rate,
       CAST(count(*) FILTER (WHERE bounced) AS DOUBLE) / nullif(count(*), 0) AS bounce_rate
FROM sessions(shop_midnight($start), shop_day_end($end))
WHERE NOT bot AND ($country IS NULL OR country = $country) AND ($channel IS NULL OR channel = $channel)
    AND ($source IS NULL OR utm_source = $source) AND ($device IS NULL OR device = $device)
    AND ($user_id IS NULL OR user_id = $user_id OR anonymous_id = $user_id)
GROUP BY CASE $by WHEN 'channel' THEN channel WHEN 'source' THEN utm_source WHEN 'medium' THEN utm_medium
                  WHEN 'campaign' THEN utm_campaign WHEN 'country' THEN country WHEN 'city' THEN city
                  WHEN 'device' THEN device WHEN 'os' THEN os ELSE 'all' END
ORDER BY sessions DESC, name NULLS LAST
