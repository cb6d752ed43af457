-- summary = "Visitors who come back, by week"
-- description = """
-- Of the visitors first seen in week 0, the share with an event again k weeks later. Weeks are the shop's, from
-- Monday. First seen is first seen in the period; retention_rate = visitors / cohort_size.
-- """
-- cache = "10s"
-- chart = "heatmap"
-- units = { visitors = "count", cohort_size = "count", retention_rate = "ratio" }
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
WITH weeks AS (
  SELECT DISTINCT coalesce(user_id, anonymous_id) AS visitor, CAST(date_trunc('week', shop_day(event_ts)) AS DATE) AS week
  FROM events
  WHERE event_ts >= shop_midnight($start) AND event_ts < shop_day_end($end) AND bot IS NOT TRUE AND coalesce(user_id, anonymous_id) IS NOT NULL
), firsts AS (
  SELECT visitor, min(week) AS cohort FROM weeks GROUP BY visitor
), counted AS (
  SELECT f.cohort, (CAST(CAST(w.week AS INT) AS BIGINT) - CAST(CAST(f.cohort AS INT) AS BIGINT)) / 7 AS k, count(*) AS visitors
  FROM weeks AS w JOIN firsts AS f ON w.visitor = f.visitor
  GROUP BY f.cohort, (CAST(CAST(w.week AS INT) AS BIGINT) - CAST(CAST(f.cohort AS INT) AS BIGINT)) / 7
)
SELECT cohort, k, visitors, first_value(visitors) OVER (PARTITION BY cohort ORDER BY k) AS cohort_size,
       CAST(visitors AS DOUBLE) / first_value(visitors) OVER (PARTITION BY cohort ORDER BY k) AS retention_rate
FROM counted
ORDER BY cohort, k
