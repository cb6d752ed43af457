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
  SELECT product_id, event_type, session_id, category, product_name, event_ts, node, seq, amount
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
         count(*) FILTER (WHERE event_type = 'remove_from_cart') AS removes
  FROM lines GROUP BY product_id
), back AS (
  SELECT l.product_id, sum(l.amount) AS refunded
  FROM lines AS l JOIN refunds AS r ON l.node = r.node AND l.seq = r.seq
  WHERE l.event_type = 'refund' AND NOT r.foreign_currency
  GROUP BY l.product_id
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
         count(DISTINCT order_key) AS orders,
         last_value(product_name ORDER BY event_ts, order_key) FILTER (WHERE product_name IS NOT NULL) AS product_name,
         last_value(category ORDER BY event_ts, order_key) FILTER (WHERE category IS NOT NULL) AS category
  FROM order_lines
  WHERE ordered_at >= shop_midnight($start) AND ordered_at < shop_day_end($end) AND NOT cancelled
    AND NOT foreign_currency AND product_id IS NOT NULL AND ($product_id IS NULL OR product_id = $product_id)
  GROUP BY product_id
), known AS (
  -- A line that an order got after the period is of the order's day: its product may have no event of the period.
  SELECT coalesce(s.product_id, o.product_id) AS product_id,
         CASE WHEN s.product_id IS NULL THEN o.product_name ELSE s.product_name END AS product_name,
         CASE WHEN s.product_id IS NULL THEN o.category ELSE s.category END AS category,
         coalesce(views, 0) AS views, coalesce(adds, 0) AS adds, coalesce(removes, 0) AS removes,
         coalesce(orders, 0) AS orders, coalesce(units, 0) AS units, gross, discounts
  FROM seen AS s FULL JOIN sold AS o ON s.product_id = o.product_id
)
SELECT k.product_id, k.product_name, k.category, k.views, k.adds, k.removes, k.orders, k.units,
       CAST(coalesce(k.gross, 0) AS DECIMAL(38, 4)) AS gross, CAST(coalesce(k.discounts, 0) AS DECIMAL(38, 4)) AS discounts,
       CAST(coalesce(k.gross - k.discounts, 0) AS DECIMAL(38, 4)) AS net,
       CAST(coalesce(b.refunded, 0) AS DECIMAL(38, 4)) AS refunded,
       coalesce(r.viewing_sessions, 0) AS viewing_sessions, coalesce(r.buying_sessions, 0) AS buying_sessions,
       CAST(r.buying_sessions AS DOUBLE) / nullif(r.viewing_sessions, 0) AS purchase_rate
FROM known AS k LEFT JOIN rates AS r ON k.product_id = r.product_id LEFT JOIN back AS b ON k.product_id = b.product_id
WHERE $category IS NULL OR k.category = $category
ORDER BY gross DESC, views DESC, product_id
LIMIT $limit
