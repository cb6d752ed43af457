-- summary = "Checkouts that became orders"
-- description = """
-- Of the sessions that began in the period and started checkout (a checkout_start or checkout_step), those with a
-- purchase at or after that start. completion_rate = completed / started.
-- """
-- cache = "10s"
-- chart = "number"
-- units = { started = "count", completed = "count", abandoned = "count", completion_rate = "ratio" }
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
WITH visits AS (
  SELECT session_id, CASE $by WHEN 'channel' THEN channel WHEN 'source' THEN utm_source WHEN 'medium' THEN utm_medium
                  WHEN 'campaign' THEN utm_campaign WHEN 'country' THEN country WHEN 'city' THEN city
                  WHEN 'device' THEN device WHEN 'os' THEN os ELSE 'all' END AS name
  FROM sessions(shop_midnight($start), shop_day_end($end))
  WHERE checkout_started AND NOT bot AND ($country IS NULL OR country = $country) AND ($channel IS NULL OR channel = $channel)
    AND ($source IS NULL OR utm_source = $source) AND ($device IS NULL OR device = $device)
    AND ($user_id IS NULL OR user_id = $user_id OR anonymous_id = $user_id)
), begun AS (
  SELECT session_id, min(event_ts) FILTER (WHERE event_type IN ('checkout_start', 'checkout_step')) AS started_at,
         max(event_ts) FILTER (WHERE event_type = 'purchase') AS purchased_at
  FROM events
  WHERE event_ts >= shop_midnight($start) AND event_ts < shop_day_end($end) + INTERVAL '1 day'
    AND event_type IN ('checkout_start', 'checkout_step', 'purchase') AND session_id IS NOT NULL AND bot IS NOT TRUE
  GROUP BY session_id
)
SELECT v.name, count(*) AS started, count(*) FILTER (WHERE b.purchased_at >= b.started_at) AS completed,
       count(*) - count(*) FILTER (WHERE b.purchased_at >= b.started_at) AS abandoned,
       CAST(count(*) FILTER (WHERE b.purchased_at >= b.started_at) AS DOUBLE) / nullif(count(*), 0) AS completion_rate
FROM visits AS v JOIN begun AS b ON v.session_id = b.session_id
GROUP BY v.name
ORDER BY started DESC, name NULLS LAST
