-- summary = "Who viewed, added, started checkout, purchased, in any order"
-- description = """
-- Actors with any of the steps in the period, each step counted by itself: a purchase without a cart counts as a
-- purchase. The steps are not parts of one another, so their rates are over all actors.
-- """
-- cache = "10s"
-- chart = "funnel"
-- units = { actors = "count", entered = "count", overall_rate = "ratio" }
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
         CASE $by WHEN 'channel' THEN channel WHEN 'source' THEN utm_source WHEN 'medium' THEN utm_medium
                  WHEN 'campaign' THEN utm_campaign WHEN 'country' THEN country WHEN 'city' THEN city
                  WHEN 'device' THEN CASE WHEN mobile THEN 'mobile' WHEN NOT mobile THEN 'desktop' END
                  WHEN 'os' THEN os ELSE 'all' END AS name
  FROM events
  WHERE event_ts >= shop_midnight($start) AND event_ts < shop_day_end($end) AND event_type IN ('product_view', 'add_to_cart', 'checkout_start', 'purchase')
    AND bot IS NOT TRUE AND ($user_id IS NULL OR user_id = $user_id OR anonymous_id = $user_id)
), actors AS (
  SELECT actor, first_value(name ORDER BY event_ts, seq) AS name,
         count(*) FILTER (WHERE event_type = 'product_view') AS views,
         count(*) FILTER (WHERE event_type = 'add_to_cart') AS adds,
         count(*) FILTER (WHERE event_type = 'checkout_start') AS starts,
         count(*) FILTER (WHERE event_type = 'purchase') AS purchases
  FROM steps WHERE actor IS NOT NULL GROUP BY actor
), counted AS (
  SELECT name, count(*) AS entered, count(*) FILTER (WHERE views > 0) AS viewed, count(*) FILTER (WHERE adds > 0) AS added,
         count(*) FILTER (WHERE starts > 0) AS started, count(*) FILTER (WHERE purchases > 0) AS purchased
  FROM actors GROUP BY name
)
SELECT c.name, s.step, s.event_type,
       CASE s.step WHEN 1 THEN viewed WHEN 2 THEN added WHEN 3 THEN started ELSE purchased END AS actors, entered,
       CAST(CASE s.step WHEN 1 THEN viewed WHEN 2 THEN added WHEN 3 THEN started ELSE purchased END AS DOUBLE)
         / nullif(entered, 0) AS overall_rate
FROM counted AS c
CROSS JOIN (VALUES (1, 'product_view'), (2, 'add_to_cart'), (3, 'checkout_start'), (4, 'purchase')) AS s (step, event_type)
ORDER BY entered DESC, name NULLS LAST, step
