-- summary = "Sales of a period in one row"
-- description = """
-- The period as a whole: buyers and visitors are distinct over all of it. returning_buyers had an order before the
-- period began; returning_rate = returning_buyers / buyers.
-- """
-- cache = "10s"
-- chart = "number"
-- units = { gross = "money", discounts = "money", refunds = "money", net = "money", shipping = "money", tax = "money", total = "money", order_value = "money", aov = "money", orders = "count", units = "count", buyers = "count", visitors = "count", revenue_per_visitor = "money", cancelled_orders = "count", duplicate_orders = "count", foreign_orders = "count", returning_buyers = "count", returning_rate = "ratio" }
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
  SELECT count(*) FILTER (WHERE counts) AS orders,
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
         count(DISTINCT CASE WHEN counts AND earlier THEN visitor END) AS returning_buyers
  FROM (
    SELECT o.*, NOT o.cancelled AND NOT o.foreign_currency AS counts, c.first_order_at < shop_midnight($start) AS earlier
    FROM orders AS o LEFT JOIN customers AS c ON o.visitor = c.visitor
  )
  WHERE ordered_at >= shop_midnight($start) AND ordered_at < shop_day_end($end)
    AND ($country IS NULL OR country = $country) AND ($user_id IS NULL OR visitor = $user_id)
), refunded AS (
  SELECT coalesce(sum(refund), 0) AS refunds
  FROM refunds
  WHERE event_ts >= shop_midnight($start) AND event_ts < shop_day_end($end) AND NOT foreign_currency
    AND ($country IS NULL OR country = $country) AND ($user_id IS NULL OR visitor = $user_id)
), visits AS (
  SELECT count(DISTINCT coalesce(user_id, anonymous_id)) AS visitors
  FROM events
  WHERE event_ts >= shop_midnight($start) AND event_ts < shop_day_end($end) AND bot IS NOT TRUE
    AND ($country IS NULL OR country = $country) AND ($user_id IS NULL OR coalesce(user_id, anonymous_id) = $user_id)
)
SELECT orders, CAST(gross AS DECIMAL(38, 4)) AS gross, CAST(discounts AS DECIMAL(38, 4)) AS discounts,
       CAST(refunds AS DECIMAL(38, 4)) AS refunds, CAST(gross - discounts - refunds AS DECIMAL(38, 4)) AS net,
       CAST(shipping AS DECIMAL(38, 4)) AS shipping, CAST(tax AS DECIMAL(38, 4)) AS tax,
       CAST(gross - discounts - refunds + shipping + tax AS DECIMAL(38, 4)) AS total,
       CAST(order_value AS DECIMAL(38, 4)) AS order_value,
       CAST(CAST(order_value AS DECIMAL(38, 8)) / nullif(orders, 0) AS DECIMAL(38, 4)) AS aov,
       units, buyers, returning_buyers, CAST(returning_buyers AS DOUBLE) / nullif(buyers, 0) AS returning_rate, visitors,
       CAST(CAST(gross - discounts - refunds AS DECIMAL(38, 8)) / nullif(visitors, 0) AS DECIMAL(38, 4)) AS revenue_per_visitor,
       cancelled_orders, duplicate_orders, foreign_orders
FROM sold CROSS JOIN refunded CROSS JOIN visits
