-- summary = "Sales by the touch that earned them"
-- description = """
-- Each order is given to a session of the same visitor that began within lookback before it (the session of the order
-- included): the first one, or the last. A direct session earns an order only where there is no other. Orders without
-- any such session are null.
-- """
-- cache = "10s"
-- chart = "bars"
-- units = { orders = "count", gross = "money", net = "money", order_value = "money" }
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
-- [params.model]
-- type = "enum"
-- values = ["first", "last"]
-- default = "last"
-- doc = "which touch earns the order"
--
-- [params.by]
-- type = "enum"
-- values = ["channel", "source", "campaign"]
-- default = "channel"
-- doc = "what of the touch to group by"
--
-- [params.lookback]
-- type = "duration"
-- default = "30d"
-- doc = "how far before the order a touch may lie"
WITH sold AS (
  SELECT order_key, visitor, ordered_at, gross, discount, refunds, value
  FROM orders
  WHERE ordered_at >= shop_midnight($start) AND ordered_at < shop_day_end($end) AND NOT cancelled AND NOT foreign_currency
), touches AS (
  SELECT visitor, session_id, started_at, channel,
         CASE $by WHEN 'channel' THEN channel WHEN 'source' THEN utm_source ELSE utm_campaign END AS name
  FROM sessions(shop_midnight($start) - CAST($lookback AS INTERVAL), shop_day_end($end))
  WHERE NOT bot AND visitor IS NOT NULL
), ranked AS (
  SELECT o.order_key, o.gross, o.discount, o.refunds, o.value, t.name,
         row_number() OVER (PARTITION BY o.order_key ORDER BY
           CASE WHEN t.channel IS NULL OR t.channel = 'direct' THEN 1 ELSE 0 END,
           CASE $model WHEN 'first' THEN CAST(t.started_at AS BIGINT) ELSE -CAST(t.started_at AS BIGINT) END,
           t.session_id) AS place
  FROM sold AS o
  LEFT JOIN touches AS t ON o.visitor = t.visitor AND t.started_at <= o.ordered_at
    AND t.started_at >= o.ordered_at - CAST($lookback AS INTERVAL)
)
SELECT name, count(*) AS orders, sum(gross) AS gross, sum(gross) - sum(discount) - sum(refunds) AS net,
       sum(value) AS order_value
FROM ranked
WHERE place = 1
GROUP BY name
ORDER BY gross DESC, name NULLS LAST
