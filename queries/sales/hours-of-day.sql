-- summary = "Orders by hour of the day"
-- description = """
-- Orders by the hour the shop's clocks showed at their first purchase, over all days of the period.
-- """
-- cache = "10s"
-- chart = "bars"
-- units = { orders = "count", gross = "money", order_value = "money" }
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
SELECT CAST(date_part('hour', shop_time(ordered_at)) AS BIGINT) AS hour, count(*) AS orders, sum(gross) AS gross,
       sum(value) AS order_value
FROM orders
WHERE ordered_at >= shop_midnight($start) AND ordered_at < shop_day_end($end) AND NOT cancelled AND NOT foreign_currency
GROUP BY date_part('hour', shop_time(ordered_at))
ORDER BY hour
