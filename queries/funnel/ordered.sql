-- summary = "View, cart, checkout, purchase: how far they come"
-- description = """
-- Actors whose first product view is in the period, and how many of them then added to the cart, started checkout and
-- purchased, in this order of time, all within the window after that view. Steps at the same moment are in order. Other
-- events may come between. step_rate = actors / previous, overall_rate = actors / entered, both null at 0; ms_p50 and ms_p90
-- are from the first step to this one, exact.
-- """
-- path = "/funnel"
-- cache = "10s"
-- chart = "funnel"
-- units = { step = "count", actors = "count", entered = "count", previous = "count", step_rate = "ratio", overall_rate = "ratio", drop_off = "count", ms_p50 = "milliseconds", ms_p90 = "milliseconds" }
--
-- [params.start]
-- type = "date"
-- default = "-29d"
-- doc = "first day, in the shop's time zone"
--
-- [params.end]
-- type = "date"
-- default = "+1d"
-- doc = "the day after the last"
--
-- [params.actor]
-- type = "enum"
-- values = ["session", "user"]
-- default = "session"
-- doc = "who goes through the funnel"
--
-- [params.window]
-- type = "duration"
-- default = "1d"
-- doc = "how long after the first step the others may come"
--
-- [params.by]
-- type = "enum"
-- values = ["all", "channel", "source", "medium", "campaign", "country", "city", "device", "os"]
-- default = "all"
-- doc = "what to group by, as it was at the first step"
--
-- [params.user_id]
-- type = "string"
-- optional = true
-- doc = "only this user: a user_id, or an anonymous_id"
WITH steps AS (
  SELECT CASE $actor WHEN 'user' THEN coalesce(user_id, anonymous_id) ELSE session_id END AS actor, event_ts, event_type,
         CASE $by WHEN 'channel' THEN channel WHEN 'source' THEN utm_source WHEN 'medium' THEN utm_medium
                  WHEN 'campaign' THEN utm_campaign WHEN 'country' THEN country WHEN 'city' THEN city
                  WHEN 'device' THEN CASE WHEN mobile THEN 'mobile' WHEN NOT mobile THEN 'desktop' END
                  WHEN 'os' THEN os ELSE 'all' END AS name, seq
  FROM events
  WHERE event_ts >= shop_midnight($start) AND event_ts < shop_midnight($end) + CAST($window AS INTERVAL)
    AND event_type IN ('product_view', 'add_to_cart', 'checkout_start', 'purchase')
    AND bot IS NOT TRUE AND ($user_id IS NULL OR user_id = $user_id OR anonymous_id = $user_id)
), viewed AS (
  SELECT actor, min(event_ts) AS at, first_value(name ORDER BY event_ts, seq) AS name
  FROM steps WHERE event_type = 'product_view' AND actor IS NOT NULL
  GROUP BY actor HAVING min(event_ts) < shop_midnight($end)
), added AS (
  SELECT s.actor, p.at AS began, p.name, min(s.event_ts) AS at FROM steps AS s JOIN viewed AS p ON s.actor = p.actor
  WHERE s.event_type = 'add_to_cart' AND s.event_ts >= p.at AND s.event_ts <= p.at + CAST($window AS INTERVAL)
  GROUP BY s.actor, p.at, p.name
), started AS (
  SELECT s.actor, p.began, p.name, min(s.event_ts) AS at FROM steps AS s JOIN added AS p ON s.actor = p.actor
  WHERE s.event_type = 'checkout_start' AND s.event_ts >= p.at AND s.event_ts <= p.began + CAST($window AS INTERVAL)
  GROUP BY s.actor, p.began, p.name
), bought AS (
  SELECT s.actor, p.began, p.name, min(s.event_ts) AS at FROM steps AS s JOIN started AS p ON s.actor = p.actor
  WHERE s.event_type = 'purchase' AND s.event_ts >= p.at AND s.event_ts <= p.began + CAST($window AS INTERVAL)
  GROUP BY s.actor, p.began, p.name
), reached AS (
  SELECT name, 1 AS step, 'product_view' AS event_type, CAST(0 AS BIGINT) AS ms FROM viewed
  UNION ALL
  SELECT name, 2, 'add_to_cart', (CAST(at AS BIGINT) - CAST(began AS BIGINT)) / 1000 FROM added
  UNION ALL
  SELECT name, 3, 'checkout_start', (CAST(at AS BIGINT) - CAST(began AS BIGINT)) / 1000 FROM started
  UNION ALL
  SELECT name, 4, 'purchase', (CAST(at AS BIGINT) - CAST(began AS BIGINT)) / 1000 FROM bought
)
, counted AS (
  SELECT n.name, s.step, s.event_type, count(r.step) AS actors,
         percentile_cont(CAST(r.ms AS DOUBLE), 0.5) AS ms_p50, percentile_cont(CAST(r.ms AS DOUBLE), 0.9) AS ms_p90
  FROM (SELECT DISTINCT name FROM reached) AS n
  CROSS JOIN (VALUES (1, 'product_view'), (2, 'add_to_cart'), (3, 'checkout_start'), (4, 'purchase')) AS s (step, event_type)
  LEFT JOIN reached AS r ON r.name IS NOT DISTINCT FROM n.name AND r.step = s.step
  GROUP BY n.name, s.step, s.event_type
), compared AS (
  SELECT *, first_value(actors) OVER (PARTITION BY name ORDER BY step) AS entered,
         lag(actors) OVER (PARTITION BY name ORDER BY step) AS previous
  FROM counted
)
SELECT name, step, event_type, actors, entered, previous,
       CAST(actors AS DOUBLE) / nullif(previous, 0) AS step_rate,
       CAST(actors AS DOUBLE) / nullif(entered, 0) AS overall_rate,
       previous - actors AS drop_off, ms_p50, ms_p90
FROM compared
ORDER BY entered DESC, name NULLS LAST, step
