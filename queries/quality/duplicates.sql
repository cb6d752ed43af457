-- summary = "Orders that came more than once, by day"
-- description = """
-- An event sent again with its event_id never becomes a second row; what is left to find are orders sent again under
-- another event_id. repeated is how many times, orders how many orders were. Amounts of an order count once in every
-- metric.
-- """
-- cache = "10s"
-- chart = "bars"
-- units = { orders = "count", repeated_orders = "count", duplicate_orders = "count", duplicate_rate = "ratio" }
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
SELECT shop_day(ordered_at) AS day, count(*) AS orders, count(*) FILTER (WHERE duplicate_orders > 0) AS repeated_orders,
       sum(duplicate_orders) AS duplicate_orders,
       CAST(count(*) FILTER (WHERE duplicate_orders > 0) AS DOUBLE) / nullif(count(*), 0) AS duplicate_rate
FROM orders
WHERE ordered_at >= shop_midnight($start) AND ordered_at < shop_day_end($end)
GROUP BY shop_day(ordered_at)
ORDER BY day
