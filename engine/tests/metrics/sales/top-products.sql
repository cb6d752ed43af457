-- summary = "Products by gross sales"
-- description = "The lines of purchases by product. Among equals the product's id decides."
-- cache = "10s"
-- chart = "table"
-- units = { product_id = "text", units = "count", gross = "money" }
--
-- [params.start]
-- type = "date"
-- default = "-29d"
-- doc = "first day"
--
-- [params.end]
-- type = "date"
-- default = "today"
-- doc = "last day"
--
-- [params.categories]
-- type = "list"
-- optional = true
-- doc = "only products of these categories"
--
-- [params.limit]
-- type = "integer"
-- default = 10
-- min = 1
-- max = 1000
-- doc = "how many products"
SELECT product_id, sum(quantity) AS units, sum(amount) AS gross
FROM line_items
WHERE event_type = 'purchase' AND bot IS NOT TRUE AND product_id IS NOT NULL
  AND event_ts >= shop_midnight($start) AND event_ts < shop_midnight($end + 1)
  AND ($categories IS NULL OR array_has($categories, category))
GROUP BY product_id
ORDER BY gross DESC, product_id
LIMIT $limit
