-- summary = "Best-selling products"
-- description = """
-- Products by what was sold of them in the period, orders that were cancelled left out. net = gross - discounts, where
-- the order's discount is shared out by amount. The name, category and brand are the latest said of the product.
-- """
-- cache = "10s"
-- warm = true
-- chart = "bars"
-- units = { gross = "money", discounts = "money", net = "money", units = "count", orders = "count", buyers = "count" }
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
-- [params.order]
-- type = "enum"
-- values = ["gross", "units", "orders", "net"]
-- default = "gross"
-- doc = "what best means"
--
-- [params.category]
-- type = "string"
-- optional = true
-- doc = "only products of this category"
--
-- [params.country]
-- type = "string"
-- optional = true
-- doc = "only orders from this country"
--
-- [params.limit]
-- type = "integer"
-- default = 20
-- min = 1
-- max = 10000
-- doc = "how many rows"
WITH sold AS (
  SELECT product_id, last_value(product_name ORDER BY event_ts, order_key) FILTER (WHERE product_name IS NOT NULL) AS product_name,
         last_value(category ORDER BY event_ts, order_key) FILTER (WHERE category IS NOT NULL) AS category,
         last_value(brand ORDER BY event_ts, order_key) FILTER (WHERE brand IS NOT NULL) AS brand,
         sum(gross) AS gross, CAST(sum(discount) AS DECIMAL(38, 4)) AS discounts, sum(quantity) AS units,
         count(DISTINCT order_key) AS orders, count(DISTINCT visitor) AS buyers
  FROM order_lines
  WHERE ordered_at >= shop_midnight($start) AND ordered_at < shop_day_end($end) AND NOT cancelled
    AND NOT foreign_currency AND product_id IS NOT NULL AND ($country IS NULL OR country = $country)
  GROUP BY product_id
)
SELECT product_id, product_name, category, brand, gross, discounts, gross - discounts AS net, units, orders, buyers
FROM sold
WHERE $category IS NULL OR category = $category
ORDER BY CASE $order WHEN 'gross' THEN gross WHEN 'net' THEN gross - discounts
                     WHEN 'units' THEN CAST(units AS DECIMAL(38, 4)) ELSE CAST(orders AS DECIMAL(38, 4)) END DESC, product_id
LIMIT $limit
