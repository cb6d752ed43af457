-- summary = "View, cart, checkout, purchase with no other step between"
-- description = """
-- As funnel/ordered, where the steps of an actor must follow one another directly: of the four kinds of events, none
-- of another kind may stand between two steps (the same kind again may). Counted is the furthest an actor came within
-- the window after the view it began with.
-- """
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
  SELECT CASE $actor WHEN 'user' THEN coalesce(user_id, anonymous_id) ELSE session_id END AS actor, event_ts, event_type, seq,
         CASE event_type WHEN 'product_view' THEN 1 WHEN 'add_to_cart' THEN 2 WHEN 'checkout_start' THEN 3 ELSE 4 END AS step,
         CASE $by WHEN 'channel' THEN channel WHEN 'source' THEN utm_source WHEN 'medium' THEN utm_medium
                  WHEN 'campaign' THEN utm_campaign WHEN 'country' THEN country WHEN 'city' THEN city
                  WHEN 'device' THEN CASE WHEN mobile THEN 'mobile' WHEN NOT mobile THEN 'desktop' END
                  WHEN 'os' THEN os ELSE 'all' END AS name
  FROM events
  WHERE event_ts >= shop_midnight($start) AND event_ts < shop_day_end($end) + CAST($window AS INTERVAL)
    AND event_type IN ('product_view', 'add_to_cart', 'checkout_start', 'purchase')
    AND bot IS NOT TRUE AND ($user_id IS NULL OR user_id = $user_id OR anonymous_id = $user_id)
), changes AS (
  SELECT actor, event_ts, seq, step, name
  FROM (SELECT *, lag(step) OVER (PARTITION BY actor ORDER BY event_ts, step, seq) AS before FROM steps WHERE actor IS NOT NULL)
  WHERE before IS DISTINCT FROM step
), ahead AS (
  SELECT *, lead(step, 1) OVER way AS second, lead(event_ts, 1) OVER way AS second_ts, lead(step, 2) OVER way AS third,
         lead(event_ts, 2) OVER way AS third_ts, lead(step, 3) OVER way AS fourth, lead(event_ts, 3) OVER way AS fourth_ts
  FROM changes
  WINDOW way AS (PARTITION BY actor ORDER BY event_ts, step, seq)
), walked AS (
  SELECT actor, name, event_ts, seq, second_ts, third_ts, fourth_ts,
         CASE WHEN coalesce(second, 0) <> 2 OR second_ts > event_ts + CAST($window AS INTERVAL) THEN 1
              WHEN coalesce(third, 0) <> 3 OR third_ts > event_ts + CAST($window AS INTERVAL) THEN 2
              WHEN coalesce(fourth, 0) <> 4 OR fourth_ts > event_ts + CAST($window AS INTERVAL) THEN 3 ELSE 4 END AS furthest
  FROM ahead
  WHERE step = 1 AND event_ts < shop_day_end($end)
), best AS (
  SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY actor ORDER BY furthest DESC, event_ts, seq) AS place FROM walked)
  WHERE place = 1
), reached AS (
  SELECT name, CASE WHEN furthest >= 2 THEN (CAST(second_ts AS BIGINT) - CAST(event_ts AS BIGINT)) / 1000 END AS ms2,
         CASE WHEN furthest >= 3 THEN (CAST(third_ts AS BIGINT) - CAST(event_ts AS BIGINT)) / 1000 END AS ms3,
         CASE WHEN furthest >= 4 THEN (CAST(fourth_ts AS BIGINT) - CAST(event_ts AS BIGINT)) / 1000 END AS ms4
  FROM best
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
