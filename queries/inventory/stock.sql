-- summary = "Stock, and for how many days it lasts"
-- description = """
-- The latest stock_level of each product up to the moment asked for, less what was ordered since and not cancelled.
-- Velocity is units ordered over the days of the window in which the product was in stock: a day counts from the
-- moment a level above 0 was known; days before the first level known count as in stock. days_of_cover = on_hand /
-- velocity, null when nothing sold.
-- """
-- cache = "10s"
-- chart = "table"
-- units = { stock_level = "count", units_since = "count", on_hand = "count", units = "count", days_in_stock = "days", velocity = "rate", days_of_cover = "days" }
--
-- [params.at]
-- type = "timestamp"
-- default = "now"
-- doc = "as it was at this moment"
--
-- [params.window]
-- type = "duration"
-- default = "28d"
-- doc = "over which the velocity is taken"
--
-- [params.product_id]
-- type = "string"
-- optional = true
-- doc = "only this product"
--
-- [params.limit]
-- type = "integer"
-- default = 100
-- min = 1
-- max = 10000
-- doc = "how many rows"
WITH levels AS (
  SELECT product_id, event_ts, quantity, seq
  FROM events
  WHERE event_type = 'stock_level' AND product_id IS NOT NULL AND quantity IS NOT NULL AND event_ts <= $at
    AND ($product_id IS NULL OR product_id = $product_id)
), latest AS (
  SELECT product_id, max(event_ts) AS stock_at, last_value(quantity ORDER BY event_ts, seq) AS stock_level
  FROM levels GROUP BY product_id
), spans AS (
  SELECT product_id, quantity, greatest(event_ts, arrow_cast($at, 'Timestamp(Microsecond, Some("UTC"))')
           - CAST($window AS INTERVAL)) AS since,
         greatest(coalesce(lead(event_ts) OVER (PARTITION BY product_id ORDER BY event_ts, seq),
                  arrow_cast($at, 'Timestamp(Microsecond, Some("UTC"))')), arrow_cast($at, 'Timestamp(Microsecond, Some("UTC"))')
           - CAST($window AS INTERVAL)) AS until
  FROM levels
), gone AS (
  SELECT product_id, sum(CAST(until AS BIGINT) - CAST(since AS BIGINT)) FILTER (WHERE quantity <= 0) AS out_of_stock_us
  FROM spans GROUP BY product_id
), sold AS (
  SELECT l.product_id,
         coalesce(sum(l.quantity) FILTER (WHERE l.ordered_at > s.stock_at), 0) AS units_since,
         coalesce(sum(l.quantity) FILTER (WHERE l.ordered_at > $at - CAST($window AS INTERVAL)), 0) AS units
  FROM order_lines AS l JOIN latest AS s ON l.product_id = s.product_id
  WHERE NOT l.cancelled AND l.ordered_at <= $at
  GROUP BY l.product_id
), figured AS (
  SELECT s.product_id, s.stock_level, s.stock_at, coalesce(o.units_since, 0) AS units_since,
         s.stock_level - coalesce(o.units_since, 0) AS on_hand, coalesce(o.units, 0) AS units,
         (CAST(CAST($at AS BIGINT) - CAST($at - CAST($window AS INTERVAL) AS BIGINT) AS DOUBLE)
           - coalesce(g.out_of_stock_us, 0)) / 86400000000 AS days_in_stock
  FROM latest AS s LEFT JOIN sold AS o ON s.product_id = o.product_id LEFT JOIN gone AS g ON s.product_id = g.product_id
)
SELECT product_id, stock_level, stock_at, units_since, on_hand, units, days_in_stock,
       units / nullif(days_in_stock, 0) AS velocity, on_hand * days_in_stock / nullif(units, 0) AS days_of_cover
FROM figured
ORDER BY days_of_cover NULLS LAST, product_id
LIMIT $limit
