-- One row a product: what was last said of it, when it was first and last seen, and its last known stock.
SELECT product_id,
       last_value(product_name ORDER BY event_ts, seq) FILTER (WHERE product_name IS NOT NULL) AS product_name,
       last_value(category ORDER BY event_ts, seq) FILTER (WHERE category IS NOT NULL) AS category,
       last_value(brand ORDER BY event_ts, seq) FILTER (WHERE brand IS NOT NULL) AS brand,
       last_value(price ORDER BY event_ts, seq)
         FILTER (WHERE price IS NOT NULL AND upper(coalesce(currency, shop_currency())) = upper(shop_currency())) AS price,
       last_value(quantity ORDER BY event_ts, seq) FILTER (WHERE event_type = 'stock_level') AS stock_level,
       max(event_ts) FILTER (WHERE event_type = 'stock_level') AS stock_at,
       min(event_ts) AS first_seen_at, max(event_ts) AS last_seen_at
FROM line_items
WHERE product_id IS NOT NULL
GROUP BY product_id
