-- summary = "How many customers are in each class of recency, frequency and money"
-- description = """
-- The quintiles of customers/rfm counted.
-- """
-- cache = "10s"
-- chart = "heatmap"
-- units = { customers = "count", orders = "count", net = "money" }
--
-- [params.at]
-- type = "timestamp"
-- default = "now"
-- doc = "as it was at this moment"
WITH scored AS (
  SELECT visitor, CAST(CAST(shop_day($at) AS INT) AS BIGINT) - CAST(CAST(shop_day(max(ordered_at)) AS INT) AS BIGINT) AS days_since,
         count(*) AS orders, CAST(coalesce(sum(net) FILTER (WHERE NOT foreign_currency), 0) AS DECIMAL(38, 4)) AS net
  FROM orders
  WHERE NOT cancelled AND visitor IS NOT NULL AND ordered_at <= $at
  GROUP BY visitor
), quintiles AS (
  SELECT *, ntile(5) OVER (ORDER BY days_since DESC, visitor) AS recency,
         ntile(5) OVER (ORDER BY orders, visitor) AS frequency, ntile(5) OVER (ORDER BY net, visitor) AS monetary
  FROM scored
)
SELECT recency, frequency, monetary, count(*) AS customers, sum(orders) AS orders, sum(net) AS net
FROM quintiles
GROUP BY recency, frequency, monetary
ORDER BY recency DESC, frequency DESC, monetary DESC
