-- summary = "Products: seen, put into carts, sold"
-- description = """
-- Views and adds are events of the period (an add with a quantity is one add); units, orders, gross and net are of its
-- orders, with the order's discount shared out by amount; refunded is what refunds of the period name of the product,
-- not capped. purchase_rate = buying_sessions / viewing_sessions: of the sessions that viewed the product in the
-- period, those that bought it in the period.
-- """
-- cache = "10s"
-- chart = "table"
-- units = { views = "count", adds = "count", orders = "count", units = "count", gross = "money", discounts = "money", net = "money", refunded = "money", purchase_rate = "ratio" }
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
-- [params.product_id]
-- type = "string"
-- optional = true
-- doc = "only this product"
--
-- [params.category]
-- type = "string"
-- optional = true
-- doc = "only products of this category"
--
-- [params.limit]
-- type = "integer"
-- default = 100
-- min = 1
-- max = 10000
-- doc = "how many rows"
WITH lines AS (
  SELECT product_id, event_type, session_id, category, product_name, event_ts, seq, amount, quantity, currency
  FROM line_items
  WHERE event_ts >= shop_midnight($start) AND event_ts < shop_day_end($end) AND bot IS NOT TRUE AND product_id IS NOT NULL
    AND event_type IN ('product_view', 'add_to_cart', 'remove_from_cart', 'purchase', 'refund')
    AND ($product_id IS NULL OR product_id = $product_id)
), seen AS (
  SELECT product_id,
         last_value(product_name ORDER BY event_ts, seq) FILTER (WHERE product_name IS NOT NULL) AS product_name,
         last_value(category ORDER BY event_ts, seq) FILTER (WHERE category IS NOT NULL) AS category,
         count(*) FILTER (WHERE event_type = 'product_view') AS views,
         count(*) FILTER (WHERE event_type = 'add_to_cart') AS adds,
         count(*) FILTER (WHERE event_type = 'remove_from_cart') AS removes,
         sum(amount) FILTER (WHERE event_type = 'refund'
           AND upper(coalesce(currency, shop_currency())) = upper(shop_currency())) AS refunded
  FROM lines GROUP BY product_id
), rates AS (
  SELECT product_id, count(*) FILTER (WHERE views > 0) AS viewing_sessions,
         count(*) FILTER (WHERE views > 0 AND purchases > 0) AS buying_sessions
  FROM (
    SELECT product_id, session_id, count(*) FILTER (WHERE event_type = 'product_view') AS views,
           count(*) FILTER (WHERE event_type = 'purchase') AS purchases
    FROM lines WHERE session_id IS NOT NULL GROUP BY product_id, session_id)
  GROUP BY product_id
), sold AS (
  SELECT product_id, sum(gross) AS gross, CAST(sum(discount) AS DECIMAL(38, 4)) AS discounts, sum(quantity) AS units,
         count(DISTINCT order_key) AS orders
  FROM order_lines
  WHERE ordered_at >= shop_midnight($start) AND ordered_at < shop_day_end($end) AND NOT cancelled
    AND NOT foreign_currency AND product_id IS NOT NULL
  GROUP BY product_id
)
SELECT s.product_id, s.product_name, s.category, s.views, s.adds, s.removes, coalesce(o.orders, 0) AS orders,
       coalesce(o.units, 0) AS units, CAST(coalesce(o.gross, 0) AS DECIMAL(38, 4)) AS gross,
       CAST(coalesce(o.discounts, 0) AS DECIMAL(38, 4)) AS discounts,
       CAST(coalesce(o.gross - o.discounts, 0) AS DECIMAL(38, 4)) AS net,
       CAST(coalesce(s.refunded, 0) AS DECIMAL(38, 4)) AS refunded,
       coalesce(r.viewing_sessions, 0) AS viewing_sessions, coalesce(r.buying_sessions, 0) AS buying_sessions,
       CAST(r.buying_sessions AS DOUBLE) / nullif(r.viewing_sessions, 0) AS purchase_rate
FROM seen AS s LEFT JOIN sold AS o ON s.product_id = o.product_id LEFT JOIN rates AS r ON s.product_id = r.product_id
WHERE $category IS NULL OR s.category = $category
ORDER BY gross DESC, views DESC, product_id
LIMIT $limit
