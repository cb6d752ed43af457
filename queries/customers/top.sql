-- summary = "Customers by what they ordered"
-- description = """
-- Customers by the gross sales of their orders in the period. value is what the orders were worth; net is after
-- discounts and refunds.
-- """
-- cache = "10s"
-- chart = "table"
-- units = { orders = "count", gross = "money", net = "money", order_value = "money" }
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
-- default = 20
-- min = 1
-- max = 10000
-- doc = "how many rows"
SELECT visitor, count(*) AS orders, sum(gross) AS gross, sum(net) AS net, sum(value) AS order_value,
       min(ordered_at) AS first_order_at, max(ordered_at) AS last_order_at
FROM orders
WHERE ordered_at >= shop_midnight($start) AND ordered_at < shop_day_end($end) AND NOT cancelled AND NOT foreign_currency
  AND visitor IS NOT NULL
GROUP BY visitor
ORDER BY gross DESC, visitor
LIMIT $limit
