-- summary = "Sales by day"
-- description = """
-- Gross sales and units of the lines of purchases, by the shop's local day. Days without a sale have no row.
-- """
-- path = "/sales"
-- cache = "10s"
-- chart = "bars"
-- units = { day = "date", gross = "money", units = "count", orders = "count" }
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
-- [params.at]
-- type = "timestamp"
-- default = "now"
-- doc = "everything that happened up to this moment"
SELECT shop_day(event_ts) AS day,
       sum(amount) AS gross,
       sum(quantity) AS units,
       count(DISTINCT order_id) AS orders
FROM line_items
WHERE event_type = 'purchase' AND bot IS NOT TRUE
  AND event_ts >= shop_midnight($start) AND event_ts < shop_midnight($end + 1) AND event_ts <= $at
GROUP BY 1
ORDER BY 1
