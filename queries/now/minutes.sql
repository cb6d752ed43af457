-- summary = "The last hour by minute"
-- description = """
-- Figures of each minute of event time in which something happened, as the live view shows them. Order values count
-- once an order and minute.
-- Narrowed to sessions: those with an event in the span that is of this page, this product and so on, with all they
-- did in it.
-- """
-- cache = "2s"
-- chart = "bars"
-- units = { events = "count", sessions = "count", unique_users = "count", page_views = "count", orders = "count", revenue = "money" }
--
-- [params.at]
-- type = "timestamp"
-- default = "now"
-- doc = "as it was at this moment"
--
-- [params.since]
-- type = "duration"
-- default = "1h"
-- doc = "how far back"
--
-- [params.page]
-- type = "string"
-- optional = true
-- doc = "only sessions that saw this page"
--
-- [params.product_id]
-- type = "string"
-- optional = true
-- doc = "only sessions with an event about this product"
--
-- [params.source]
-- type = "string"
-- optional = true
-- doc = "only sessions with this utm_source; `(none)` is those without any"
--
-- [params.country]
-- type = "string"
-- optional = true
-- doc = "only sessions from there; `(none)` is those from nowhere known"
--
-- [params.user_id]
-- type = "string"
-- optional = true
-- doc = "only this user: a user_id, or an anonymous_id"
WITH wanted AS (
  SELECT session_id FROM events
  WHERE event_ts > date_trunc('minute', $at) - CAST($since AS INTERVAL) AND event_ts <= $at AND bot IS NOT TRUE
  GROUP BY session_id
  HAVING ($page IS NULL OR bool_or(page = $page)) AND ($product_id IS NULL OR bool_or(product_id = $product_id))
     AND ($source IS NULL OR CASE WHEN $source = '(none)' THEN count(utm_source) = 0 ELSE bool_or(utm_source = $source) END)
     AND ($country IS NULL OR CASE WHEN $country = '(none)' THEN count(country) = 0 ELSE bool_or(country = $country) END)
     AND ($user_id IS NULL OR bool_or(user_id = $user_id OR anonymous_id = $user_id))
), seen AS (
  SELECT * FROM events
  WHERE event_ts > date_trunc('minute', $at) - CAST($since AS INTERVAL) AND event_ts <= $at AND bot IS NOT TRUE
    AND (($page IS NULL AND $product_id IS NULL AND $source IS NULL AND $country IS NULL AND $user_id IS NULL)
         OR session_id IN (SELECT session_id FROM wanted))
), lines AS (
  SELECT node, seq, sum(coalesce(item['price'], 0) * coalesce(item['quantity'], 1)) AS amount
  FROM (SELECT node, seq, unnest(items) AS item FROM seen
        WHERE event_type = 'purchase' AND revenue IS NULL AND cardinality(items) > 0)
  GROUP BY node, seq
), bought AS (
  SELECT s.event_ts, s.event_id, s.order_id, s.currency, s.country, s.utm_source, s.session_id, s.node, s.seq,
         CAST(coalesce(s.revenue, l.amount, s.price * coalesce(s.quantity, 1), 0) AS DECIMAL(38, 4)) AS amount
  FROM seen AS s LEFT JOIN lines AS l ON s.node = l.node AND s.seq = l.seq
  WHERE s.event_type = 'purchase'
), paid AS (
  SELECT minute, sum(amount) AS revenue
  FROM (SELECT date_trunc('minute', event_ts) AS minute, first_value(amount ORDER BY seq) AS amount
        FROM bought GROUP BY date_trunc('minute', event_ts), coalesce(order_id, event_id))
  GROUP BY minute
), counted AS (
  SELECT date_trunc('minute', event_ts) AS minute, count(*) AS events, count(DISTINCT session_id) AS sessions,
         count(DISTINCT coalesce(user_id, anonymous_id)) AS unique_users,
         count(*) FILTER (WHERE event_type = 'page_view') AS page_views,
         count(DISTINCT CASE WHEN event_type = 'purchase' THEN coalesce(order_id, event_id) END) AS orders
  FROM seen
  GROUP BY date_trunc('minute', event_ts)
)
SELECT c.minute, c.events, c.sessions, c.unique_users, c.page_views, c.orders,
       CAST(coalesce(p.revenue, 0) AS DECIMAL(38, 4)) AS revenue
FROM counted AS c LEFT JOIN paid AS p ON c.minute = p.minute
ORDER BY c.minute
