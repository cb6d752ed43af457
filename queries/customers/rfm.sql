-- summary = "Customers by recency, frequency and money"
-- description = """
-- For each customer the days since the last order, the orders and the net spend up to the moment asked for, each as a
-- quintile over all customers: 5 is the best fifth. Equals are divided by name, so the fifths are of one size.
-- """
-- cache = "10s"
-- chart = "table"
-- units = { days_since = "days", orders = "count", net = "money" }
--
-- [params.at]
-- type = "timestamp"
-- default = "now"
-- doc = "as it was at this moment"
--
-- [params.limit]
-- type = "integer"
-- default = 100
-- min = 1
-- max = 10000
-- doc = "how many rows"
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
SELECT visitor, days_since, orders, net, recency, frequency, monetary
FROM quintiles
ORDER BY recency + frequency + monetary DESC, net DESC, visitor
LIMIT $limit
