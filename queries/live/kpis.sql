-- KPIs by minute of event time, for the minutes in which something happened.
-- $from, $to: microseconds since the epoch, whole minutes, half-open.
--
-- A minute is a function of its own rows. The revenue an order states counts once per order and minute, the first
-- that came; amounts of lines, and of purchases without an order id, add.
WITH visits AS (
  SELECT date_trunc('minute', event_ts) AS window_start, node, seq, event_type, session_id,
         coalesce(user_id, anonymous_id) AS visitor, order_id, revenue, price, quantity, items
  FROM events
  WHERE event_ts >= to_timestamp_micros($from) AND event_ts < to_timestamp_micros($to) AND bot IS NOT TRUE
), lines AS (
  SELECT node, seq, sum(coalesce(item['price'], 0) * coalesce(item['quantity'], 1)) AS amount
  FROM (SELECT node, seq, unnest(items) AS item FROM visits
        WHERE event_type = 'purchase' AND revenue IS NULL AND cardinality(items) > 0)
  GROUP BY node, seq
), stated AS (
  SELECT window_start, order_id, first_value(revenue ORDER BY seq) AS amount
  FROM visits
  WHERE event_type = 'purchase' AND revenue IS NOT NULL AND order_id IS NOT NULL
  GROUP BY window_start, order_id
), amounts AS (
  SELECT window_start, CAST(amount AS DECIMAL(38, 4)) AS amount FROM stated
  UNION ALL
  SELECT window_start, CAST(revenue AS DECIMAL(38, 4)) FROM visits
  WHERE event_type = 'purchase' AND revenue IS NOT NULL AND order_id IS NULL
  UNION ALL
  SELECT v.window_start, CAST(coalesce(l.amount, v.price * coalesce(v.quantity, 1), 0) AS DECIMAL(38, 4))
  FROM visits v LEFT JOIN lines l ON v.node = l.node AND v.seq = l.seq
  WHERE v.event_type = 'purchase' AND v.revenue IS NULL
), money AS (
  SELECT window_start, sum(amount) AS revenue FROM amounts GROUP BY window_start
), counts AS (
  SELECT window_start,
         count(*) AS events,
         count(DISTINCT session_id) AS sessions,
         count(DISTINCT visitor) AS unique_users,
         count(DISTINCT CASE WHEN event_type = 'purchase' THEN session_id END) AS converted_sessions,
         count(*) FILTER (WHERE event_type = 'page_view') AS page_views,
         count(*) FILTER (WHERE event_type = 'product_view') AS product_views,
         count(*) FILTER (WHERE event_type = 'add_to_cart') AS add_to_carts,
         count(*) FILTER (WHERE event_type = 'remove_from_cart') AS remove_from_carts,
         count(*) FILTER (WHERE event_type = 'view_cart') AS view_carts,
         count(*) FILTER (WHERE event_type = 'checkout_start') AS checkouts,
         count(*) FILTER (WHERE event_type = 'purchase') AS purchases,
         count(DISTINCT CASE WHEN event_type = 'purchase' THEN order_id END)
           + count(*) FILTER (WHERE event_type = 'purchase' AND order_id IS NULL) AS orders
  FROM visits
  GROUP BY window_start
)
SELECT c.*, coalesce(m.revenue, CAST(0 AS DECIMAL(38, 4))) AS revenue
FROM counts c LEFT JOIN money m ON c.window_start = m.window_start
ORDER BY c.window_start
