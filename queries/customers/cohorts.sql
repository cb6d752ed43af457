-- summary = "Cohort retention: customers who order again"
-- description = """
-- Of the customers whose first order is in period 0 (a local month, or a week from Monday), those with an order in
-- period k. Cancelled orders are none. retention_rate = customers / cohort_size. A cohort is complete when start is
-- the first day of a period.
-- """
-- path = "/cohorts"
-- cache = "10s"
-- chart = "heatmap"
-- units = { customers = "count", cohort_size = "count", retention_rate = "ratio" }
--
-- [params.start]
-- type = "date"
-- default = "-365d"
-- doc = "first day of first orders, in the shop's time zone"
--
-- [params.end]
-- type = "date"
-- default = "today"
-- doc = "last day"
--
-- [params.grain]
-- type = "enum"
-- values = ["month", "week"]
-- default = "month"
-- doc = "length of a period"
WITH cohort AS (
  SELECT visitor, CASE $grain WHEN 'month' THEN cohort_month ELSE cohort_week END AS cohort
  FROM customers
  WHERE first_order_at >= shop_midnight($start) AND first_order_at < shop_day_end($end)
), active AS (
  SELECT DISTINCT visitor, CAST(CASE $grain WHEN 'month' THEN date_trunc('month', shop_day(ordered_at)) ELSE date_trunc('week', shop_day(ordered_at)) END AS DATE) AS period
  FROM orders WHERE NOT cancelled AND visitor IS NOT NULL
), counted AS (
  SELECT c.cohort, CASE $grain WHEN 'month' THEN CAST((date_part('year', o.period) - date_part('year', c.cohort)) * 12 + date_part('month', o.period) - date_part('month', c.cohort) AS BIGINT)
              ELSE (CAST(CAST(o.period AS INT) AS BIGINT) - CAST(CAST(c.cohort AS INT) AS BIGINT)) / 7 END AS k, count(*) AS customers
  FROM cohort AS c JOIN active AS o ON c.visitor = o.visitor
  GROUP BY c.cohort, CASE $grain WHEN 'month' THEN CAST((date_part('year', o.period) - date_part('year', c.cohort)) * 12 + date_part('month', o.period) - date_part('month', c.cohort) AS BIGINT)
              ELSE (CAST(CAST(o.period AS INT) AS BIGINT) - CAST(CAST(c.cohort AS INT) AS BIGINT)) / 7 END
)
SELECT cohort, k, customers, first_value(customers) OVER (PARTITION BY cohort ORDER BY k) AS cohort_size,
       CAST(customers AS DOUBLE) / first_value(customers) OVER (PARTITION BY cohort ORDER BY k) AS retention_rate
FROM counted
ORDER BY cohort, k
