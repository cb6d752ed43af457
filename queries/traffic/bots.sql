-- summary = "Bots, by what they call themselves"
-- description = """
-- Events of known bots, which every other metric leaves out, and all events to compare them with. share = events /
-- all_events.
-- """
-- cache = "10s"
-- chart = "table"
-- units = { events = "count", sessions = "count", page_views = "count", all_events = "count", share = "ratio" }
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
-- [params.limit]
-- type = "integer"
-- default = 100
-- min = 1
-- max = 10000
-- doc = "how many rows"
WITH counted AS (
  SELECT user_agent, bot IS TRUE AS bot, count(*) AS events, count(DISTINCT session_id) AS sessions,
         count(*) FILTER (WHERE event_type = 'page_view') AS page_views
  FROM events
  WHERE event_ts >= shop_midnight($start) AND event_ts < shop_day_end($end)
  GROUP BY user_agent, bot IS TRUE
)
SELECT user_agent, events, sessions, page_views, all_events, CAST(events AS DOUBLE) / nullif(all_events, 0) AS share
FROM (SELECT *, sum(events) OVER () AS all_events FROM counted)
WHERE bot
ORDER BY events DESC, user_agent NULLS LAST
LIMIT $limit
