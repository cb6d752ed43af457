-- summary = "Sales by day of order"
-- description = """
-- As sales/daily, with what was refunded of an order booked on the order's own day: what became of the orders of a
-- day. Refunds of orders that are not known are left out.
-- """
-- cache = "10s"
-- chart = "bars"
-- units = { day = "date", gross = "money", discounts = "money", refunds = "money", net = "money", shipping = "money", tax = "money", total = "money", order_value = "money", aov = "money", orders = "count", units = "count", buyers = "count" }
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
-- doc = "only orders from this country"
WITH sold AS (
  SELECT shop_day(ordered_at) AS day,
         count(*) FILTER (WHERE counts) AS orders,
         coalesce(sum(gross) FILTER (WHERE counts), 0) AS gross,
         coalesce(sum(discount) FILTER (WHERE counts), 0) AS discounts,
         coalesce(sum(shipping) FILTER (WHERE counts), 0) AS shipping,
         coalesce(sum(tax) FILTER (WHERE counts), 0) AS tax,
         coalesce(sum(value) FILTER (WHERE counts), 0) AS order_value,
         coalesce(sum(units) FILTER (WHERE counts), 0) AS units,
         count(DISTINCT CASE WHEN counts THEN visitor END) AS buyers,
         count(*) FILTER (WHERE cancelled) AS cancelled_orders,
         coalesce(sum(duplicate_orders) FILTER (WHERE counts), 0) AS duplicate_orders,
         count(*) FILTER (WHERE foreign_currency AND NOT cancelled) AS foreign_orders,
         coalesce(sum(refunds) FILTER (WHERE counts), 0) AS refunds
  FROM (SELECT *, NOT cancelled AND NOT foreign_currency AS counts FROM orders)
  WHERE ordered_at >= shop_midnight($start) AND ordered_at < shop_day_end($end)
    AND ($country IS NULL OR country = $country)
  GROUP BY shop_day(ordered_at)
)
SELECT day, orders, CAST(gross AS DECIMAL(38, 4)) AS gross, CAST(discounts AS DECIMAL(38, 4)) AS discounts,
       CAST(refunds AS DECIMAL(38, 4)) AS refunds, CAST(gross - discounts - refunds AS DECIMAL(38, 4)) AS net,
       CAST(shipping AS DECIMAL(38, 4)) AS shipping, CAST(tax AS DECIMAL(38, 4)) AS tax,
       CAST(gross - discounts - refunds + shipping + tax AS DECIMAL(38, 4)) AS total,
       CAST(order_value AS DECIMAL(38, 4)) AS order_value,
       CAST(CAST(order_value AS DECIMAL(38, 8)) / nullif(orders, 0) AS DECIMAL(38, 4)) AS aov,
       units, buyers, cancelled_orders, duplicate_orders, foreign_orders
FROM sold
ORDER BY day
