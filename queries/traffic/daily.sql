-- summary = "Traffic by day"
-- description = """
-- Page views, events, sessions and visitors with an event on the local day. A session or visitor of two days counts in
-- both.
-- """
-- cache = "10s"
-- warm = true
-- chart = "line"
-- units = { day = "date", page_views = "count", events = "count", sessions = "count", visitors = "count" }
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
-- doc = "only from there"
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
SELECT shop_day(event_ts) AS day, count(*) FILTER (WHERE event_type = 'page_view') AS page_views, count(*) AS events,
       count(DISTINCT session_id) AS sessions, count(DISTINCT coalesce(user_id, anonymous_id)) AS visitors
FROM events
WHERE event_ts >= shop_midnight($start) AND event_ts < shop_day_end($end) AND (bot IS NOT TRUE AND ($user_id IS NULL OR user_id = $user_id OR anonymous_id = $user_id))
  AND ($country IS NULL OR country = $country)
  AND ($device IS NULL OR mobile = ($device = 'mobile'))
GROUP BY shop_day(event_ts)
ORDER BY day
