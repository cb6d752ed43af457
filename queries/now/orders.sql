-- summary = "The latest purchases"
-- description = """
-- Purchases, the newest first, with what each is worth.
-- Narrowed to sessions: those with an event in the span that is of this page, this product and so on, with all they
-- did in it.
-- """
-- cache = "2s"
-- chart = "table"
-- units = { value = "money" }
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
  WHERE event_ts > $at - CAST($since AS INTERVAL) AND event_ts <= $at AND bot IS NOT TRUE
  GROUP BY session_id
  HAVING ($page IS NULL OR bool_or(page = $page)) AND ($product_id IS NULL OR bool_or(product_id = $product_id))
     AND ($source IS NULL OR CASE WHEN $source = '(none)' THEN count(utm_source) = 0 ELSE bool_or(utm_source = $source) END)
     AND ($country IS NULL OR CASE WHEN $country = '(none)' THEN count(country) = 0 ELSE bool_or(country = $country) END)
     AND ($user_id IS NULL OR bool_or(user_id = $user_id OR anonymous_id = $user_id))
), seen AS (
  SELECT * FROM events
  WHERE event_ts > $at - CAST($since AS INTERVAL) AND event_ts <= $at AND bot IS NOT TRUE
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
)
SELECT event_ts, event_id, order_id, amount AS value, currency, country, session_id
FROM bought
ORDER BY event_ts DESC, event_id
LIMIT 10
