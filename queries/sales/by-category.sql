-- summary = "Sales by category or brand"
-- description = """
-- Lines of orders by the category or the brand they name. An order with lines of two categories counts in both.
-- """
-- cache = "10s"
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
-- [params.by]
-- type = "enum"
-- values = ["category", "brand"]
-- default = "category"
-- doc = "what to group by"
--
-- [params.country]
-- type = "string"
-- optional = true
-- doc = "only orders from this country"
SELECT CASE $by WHEN 'category' THEN category ELSE brand END AS name, sum(gross) AS gross,
       CAST(sum(discount) AS DECIMAL(38, 4)) AS discounts, sum(gross) - CAST(sum(discount) AS DECIMAL(38, 4)) AS net,
       sum(quantity) AS units, count(DISTINCT order_key) AS orders, count(DISTINCT visitor) AS buyers
FROM order_lines
WHERE ordered_at >= shop_midnight($start) AND ordered_at < shop_day_end($end) AND NOT cancelled AND NOT foreign_currency
  AND ($country IS NULL OR country = $country)
GROUP BY CASE $by WHEN 'category' THEN category ELSE brand END
ORDER BY gross DESC, name NULLS LAST
