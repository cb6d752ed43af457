-- summary = "Pages by views"
-- description = """
-- Page views by page, with the visitors and sessions that saw it.
-- """
-- cache = "10s"
-- chart = "bars"
-- units = { views = "count", visitors = "count", sessions = "count" }
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
--
-- [params.limit]
-- type = "integer"
-- default = 20
-- min = 1
-- max = 10000
-- doc = "how many rows"
SELECT page, count(*) AS views, count(DISTINCT coalesce(user_id, anonymous_id)) AS visitors,
       count(DISTINCT session_id) AS sessions
FROM events
WHERE event_ts >= shop_midnight($start) AND event_ts < shop_day_end($end) AND event_type = 'page_view' AND page IS NOT NULL AND (bot IS NOT TRUE AND ($user_id IS NULL OR user_id = $user_id OR anonymous_id = $user_id))
  AND ($country IS NULL OR country = $country)
  AND ($device IS NULL OR mobile = ($device = 'mobile'))
GROUP BY page
ORDER BY views DESC, page
LIMIT $limit
