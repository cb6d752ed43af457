-- summary = "Lifetime value: cumulative net sales by cohort age"
-- description = """
-- Net sales (gross - discounts - refunds, the refunds booked on the order) of a cohort's customers up to and with
-- period k, in the shop's currency. ltv = net_cumulative / cohort_size.
-- """
-- cache = "10s"
-- chart = "line"
-- units = { cohort_size = "count", orders = "count", net = "money", net_cumulative = "money", ltv = "money" }
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
), sized AS (
  SELECT cohort, count(*) AS cohort_size FROM cohort GROUP BY cohort
), spent AS (
  SELECT visitor, CAST(CASE $grain WHEN 'month' THEN date_trunc('month', shop_day(ordered_at)) ELSE date_trunc('week', shop_day(ordered_at)) END AS DATE) AS period, net
  FROM orders WHERE NOT cancelled AND NOT foreign_currency AND visitor IS NOT NULL
), summed AS (
  SELECT c.cohort, CASE $grain WHEN 'month' THEN CAST((date_part('year', o.period) - date_part('year', c.cohort)) * 12 + date_part('month', o.period) - date_part('month', c.cohort) AS BIGINT)
              ELSE (CAST(CAST(o.period AS INT) AS BIGINT) - CAST(CAST(c.cohort AS INT) AS BIGINT)) / 7 END AS k, sum(o.net) AS net, count(*) AS orders
  FROM cohort AS c JOIN spent AS o ON c.visitor = o.visitor
  GROUP BY c.cohort, CASE $grain WHEN 'month' THEN CAST((date_part('year', o.period) - date_part('year', c.cohort)) * 12 + date_part('month', o.period) - date_part('month', c.cohort) AS BIGINT)
              ELSE (CAST(CAST(o.period AS INT) AS BIGINT) - CAST(CAST(c.cohort AS INT) AS BIGINT)) / 7 END
)
SELECT s.cohort, s.k, z.cohort_size, s.orders, s.net,
       CAST(sum(s.net) OVER (PARTITION BY s.cohort ORDER BY s.k) AS DECIMAL(38, 4)) AS net_cumulative,
       CAST(CAST(sum(s.net) OVER (PARTITION BY s.cohort ORDER BY s.k) AS DECIMAL(38, 8)) / z.cohort_size AS DECIMAL(38, 4)) AS ltv
FROM summed AS s JOIN sized AS z ON s.cohort = z.cohort
ORDER BY cohort, k
