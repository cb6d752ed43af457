-- summary = "View, cart, checkout, purchase: how far they come"
-- description = """
-- Actors whose first product view is in the period, and how many of them then added to the cart, started checkout and
-- purchased, in this order of time, all within the window after that view. Steps at the same moment are in order.
-- Other events may come between. step_rate = actors / previous, overall_rate = actors / entered, both null at 0;
-- ms_p50 and ms_p90 are from the first step to this one, exact.
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
-- default = "today"
-- doc = "last day"
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
  WHERE event_ts >= shop_midnight($start) AND event_ts < shop_day_end($end) + CAST($window AS INTERVAL)
    AND event_type IN ('product_view', 'add_to_cart', 'checkout_start', 'purchase')
    AND bot IS NOT TRUE AND ($user_id IS NULL OR user_id = $user_id OR anonymous_id = $user_id)
), viewed AS (
  SELECT actor, min(event_ts) AS at, first_value(name ORDER BY event_ts, seq) AS name
  FROM steps WHERE event_type = 'product_view' AND actor IS NOT NULL
  GROUP BY actor HAVING min(event_ts) < shop_day_end($end)
), added AS (
  SELECT p.actor, p.at, p.name, min(s.event_ts) AS at2
  FROM viewed AS p LEFT JOIN steps AS s ON s.actor = p.actor AND s.event_type = 'add_to_cart'
    AND s.event_ts >= p.at AND s.event_ts <= p.at + CAST($window AS INTERVAL)
  GROUP BY p.actor, p.at, p.name
), started AS (
  SELECT p.actor, p.at, p.name, p.at2, min(s.event_ts) AS at3
  FROM added AS p LEFT JOIN steps AS s ON s.actor = p.actor AND s.event_type = 'checkout_start'
    AND s.event_ts >= p.at2 AND s.event_ts <= p.at + CAST($window AS INTERVAL)
  GROUP BY p.actor, p.at, p.name, p.at2
), bought AS (
  SELECT p.actor, p.at, p.name, p.at2, p.at3, min(s.event_ts) AS at4
  FROM started AS p LEFT JOIN steps AS s ON s.actor = p.actor AND s.event_type = 'purchase'
    AND s.event_ts >= p.at3 AND s.event_ts <= p.at + CAST($window AS INTERVAL)
  GROUP BY p.actor, p.at, p.name, p.at2, p.at3
), reached AS (
  SELECT name, (CAST(at2 AS BIGINT) - CAST(at AS BIGINT)) / 1000 AS ms2,
         (CAST(at3 AS BIGINT) - CAST(at AS BIGINT)) / 1000 AS ms3, (CAST(at4 AS BIGINT) - CAST(at AS BIGINT)) / 1000 AS ms4
  FROM bought
)
, counted AS (
  SELECT name, count(*) AS viewed, count(ms2) AS added, count(ms3) AS started, count(ms4) AS purchased,
         percentile_cont(CAST(ms2 AS DOUBLE), 0.5) AS p50_2, percentile_cont(CAST(ms2 AS DOUBLE), 0.9000000000001) AS p90_2,
         percentile_cont(CAST(ms3 AS DOUBLE), 0.5) AS p50_3, percentile_cont(CAST(ms3 AS DOUBLE), 0.9000000000001) AS p90_3,
         percentile_cont(CAST(ms4 AS DOUBLE), 0.5) AS p50_4, percentile_cont(CAST(ms4 AS DOUBLE), 0.9000000000001) AS p90_4
  FROM reached GROUP BY name
), stepped AS (
  SELECT name, s.step, s.event_type, viewed AS entered,
         CASE s.step WHEN 1 THEN viewed WHEN 2 THEN added WHEN 3 THEN started ELSE purchased END AS actors,
         CASE s.step WHEN 2 THEN viewed WHEN 3 THEN added WHEN 4 THEN started END AS previous,
         CASE s.step WHEN 2 THEN p50_2 WHEN 3 THEN p50_3 WHEN 4 THEN p50_4 END AS ms_p50,
         CASE s.step WHEN 2 THEN p90_2 WHEN 3 THEN p90_3 WHEN 4 THEN p90_4 END AS ms_p90
  FROM counted
  CROSS JOIN (VALUES (1, 'product_view'), (2, 'add_to_cart'), (3, 'checkout_start'), (4, 'purchase')) AS s (step, event_type)
)
SELECT name, step, event_type, actors, entered, previous,
       CAST(actors AS DOUBLE) / nullif(previous, 0) AS step_rate,
       CAST(actors AS DOUBLE) / nullif(entered, 0) AS overall_rate,
       previous - actors AS drop_off, ms_p50, ms_p90
FROM stepped
ORDER BY entered DESC, name NULLS LAST, step
