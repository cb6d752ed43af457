-- summary = "Sales by day"
-- description = """
-- Orders on the day of their first purchase, refunds on their own day, in the shop's local days. Cancelled orders are
-- gone from the day they were made; orders in another currency are counted and kept out. A day on which nothing
-- happened has no row. net = gross - discounts - refunds; total = net + shipping + tax; aov = order_value / orders;
-- revenue_per_visitor = net / visitors, and visitors are all who did anything that day.
-- """
-- path = "/sales"
-- cache = "10s"
-- warm = true
-- chart = "bars"
-- units = { day = "date", gross = "money", discounts = "money", refunds = "money", net = "money", shipping = "money", tax = "money", total = "money", order_value = "money", aov = "money", orders = "count", units = "count", buyers = "count", visitors = "count", revenue_per_visitor = "money", cancelled_orders = "count", duplicate_orders = "count", foreign_orders = "count" }
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
-- doc = "only orders from, refunds of, and visits from this country"
--
-- [params.user_id]
-- type = "string"
-- optional = true
-- doc = "only this customer: a user_id, or an anonymous_id"
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
         count(*) FILTER (WHERE foreign_currency AND NOT cancelled) AS foreign_orders
  FROM (SELECT *, NOT cancelled AND NOT foreign_currency AS counts FROM orders)
  WHERE ordered_at >= shop_midnight($start) AND ordered_at < shop_day_end($end)
    AND ($country IS NULL OR country = $country) AND ($user_id IS NULL OR visitor = $user_id)
  GROUP BY shop_day(ordered_at)
), refunded AS (
  SELECT shop_day(event_ts) AS day, sum(refund) AS refunds
  FROM refunds
  WHERE event_ts >= shop_midnight($start) AND event_ts < shop_day_end($end) AND NOT foreign_currency
    AND ($country IS NULL OR country = $country) AND ($user_id IS NULL OR visitor = $user_id)
  GROUP BY shop_day(event_ts)
), visits AS (
  SELECT shop_day(event_ts) AS day, count(DISTINCT coalesce(user_id, anonymous_id)) AS visitors
  FROM events
  WHERE event_ts >= shop_midnight($start) AND event_ts < shop_day_end($end) AND bot IS NOT TRUE
    AND ($country IS NULL OR country = $country) AND ($user_id IS NULL OR coalesce(user_id, anonymous_id) = $user_id)
  GROUP BY shop_day(event_ts)
), summed AS (
  SELECT day, sum(orders) AS orders, sum(gross) AS gross, sum(discounts) AS discounts, sum(refunds) AS refunds,
         sum(gross) - sum(discounts) - sum(refunds) AS net, sum(shipping) AS shipping, sum(tax) AS tax,
         sum(order_value) AS order_value, sum(units) AS units, sum(buyers) AS buyers, sum(visitors) AS visitors,
         sum(cancelled_orders) AS cancelled_orders, sum(duplicate_orders) AS duplicate_orders,
         sum(foreign_orders) AS foreign_orders
  FROM (
    SELECT day, orders, gross, discounts, 0 AS refunds, shipping, tax, order_value, units, buyers, 0 AS visitors,
           cancelled_orders, duplicate_orders, foreign_orders FROM sold
    UNION ALL
    SELECT day, 0, 0, 0, refunds, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM refunded
    UNION ALL
    SELECT day, 0, 0, 0, 0, 0, 0, 0, 0, 0, visitors, 0, 0, 0 FROM visits
  )
  GROUP BY day
)
SELECT day, orders, CAST(gross AS DECIMAL(38, 4)) AS gross, CAST(discounts AS DECIMAL(38, 4)) AS discounts,
       CAST(refunds AS DECIMAL(38, 4)) AS refunds, CAST(net AS DECIMAL(38, 4)) AS net,
       CAST(shipping AS DECIMAL(38, 4)) AS shipping, CAST(tax AS DECIMAL(38, 4)) AS tax,
       CAST(net + shipping + tax AS DECIMAL(38, 4)) AS total, CAST(order_value AS DECIMAL(38, 4)) AS order_value,
       CAST(CAST(order_value AS DECIMAL(38, 8)) / nullif(orders, 0) AS DECIMAL(38, 4)) AS aov,
       units, buyers, visitors,
       CAST(CAST(net AS DECIMAL(38, 8)) / nullif(visitors, 0) AS DECIMAL(38, 4)) AS revenue_per_visitor,
       cancelled_orders, duplicate_orders, foreign_orders
FROM summed
ORDER BY day
