-- summary = "Returning-customer rate"
-- description = """
-- Buyers in each period of the range, and those of them who had an order before the period. returning_rate =
-- returning_buyers / buyers; new buyers are the others.
-- """
-- cache = "10s"
-- chart = "line"
-- units = { buyers = "count", returning_buyers = "count", new_buyers = "count", returning_rate = "ratio" }
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
-- values = ["month", "week", "day"]
-- default = "month"
-- doc = "length of a period"
WITH bought AS (
  SELECT DISTINCT visitor, CAST(CASE $grain WHEN 'month' THEN date_trunc('month', shop_day(ordered_at))
           WHEN 'week' THEN date_trunc('week', shop_day(ordered_at)) ELSE shop_day(ordered_at) END AS DATE) AS period
  FROM orders
  WHERE ordered_at >= shop_midnight($start) AND ordered_at < shop_day_end($end) AND NOT cancelled AND visitor IS NOT NULL
)
SELECT b.period, count(*) AS buyers, count(*) FILTER (WHERE c.first_order_at < shop_midnight(b.period)) AS returning_buyers,
       count(*) - count(*) FILTER (WHERE c.first_order_at < shop_midnight(b.period)) AS new_buyers,
       CAST(count(*) FILTER (WHERE c.first_order_at < shop_midnight(b.period)) AS DOUBLE) / nullif(count(*), 0) AS returning_rate
FROM bought AS b JOIN customers AS c ON b.visitor = c.visitor
GROUP BY b.period
ORDER BY b.period
