-- summary = "Today against yesterday at the same time"
-- description = """
-- Order value, orders and conversion of the shop's local day so far, and of the day before up to the same time after
-- its midnight. A session counts on each day it has an event on; it is converted with a purchase on that day. Orders are
-- as known now: cancelled ones are gone.
-- Narrowed to sessions: those with an event of that day that is of this page, this product and so on.
-- """
-- cache = "2s"
-- warm = true
-- chart = "table"
-- units = { begins = "timestamp", ends = "timestamp", order_value = "money", orders = "count", aov = "money", sessions = "count", converted_sessions = "count", conversion_rate = "ratio" }
--
-- [params.at]
-- type = "timestamp"
-- default = "now"
-- doc = "as it was at this moment"
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
WITH near AS (
  SELECT * FROM events
  WHERE event_ts >= shop_midnight(CAST(shop_day($at) - INTERVAL '1 day' AS DATE)) AND event_ts <= $at AND bot IS NOT TRUE
), days AS (
  SELECT 'today' AS day, shop_midnight(shop_day($at)) AS begins, $at AS ends
  UNION ALL
  SELECT 'yesterday', shop_midnight(CAST(shop_day($at) - INTERVAL '1 day' AS DATE)),
         shop_midnight(CAST(shop_day($at) - INTERVAL '1 day' AS DATE)) + ($at - shop_midnight(shop_day($at)))
), wanted AS (
  SELECT d.day, n.session_id, bool_or(n.event_type = 'purchase') AS converted
  FROM days AS d JOIN near AS n ON n.event_ts >= d.begins AND n.event_ts <= d.ends
  GROUP BY d.day, n.session_id
  HAVING ($page IS NULL OR bool_or(n.page = $page)) AND ($product_id IS NULL OR bool_or(n.product_id = $product_id))
     AND ($source IS NULL OR CASE WHEN $source = '(none)' THEN count(n.utm_source) = 0 ELSE bool_or(n.utm_source = $source) END)
     AND ($country IS NULL OR CASE WHEN $country = '(none)' THEN count(n.country) = 0 ELSE bool_or(n.country = $country) END)
     AND ($user_id IS NULL OR bool_or(n.user_id = $user_id OR n.anonymous_id = $user_id))
), visits AS (
  SELECT day, count(session_id) AS sessions, count(CASE WHEN converted THEN session_id END) AS converted_sessions
  FROM wanted GROUP BY day
), sold AS (
  SELECT d.day, count(*) AS orders, sum(o.value) AS order_value
  FROM days AS d JOIN orders AS o ON o.ordered_at >= d.begins AND o.ordered_at <= d.ends
       LEFT JOIN wanted AS w ON w.day = d.day AND w.session_id = o.session_id
  WHERE NOT o.cancelled AND NOT o.foreign_currency
    AND (w.session_id IS NOT NULL
         OR ($page IS NULL AND $product_id IS NULL AND $source IS NULL AND $country IS NULL AND $user_id IS NULL))
  GROUP BY d.day
)
SELECT d.day, d.begins, d.ends, CAST(coalesce(s.order_value, 0) AS DECIMAL(38, 4)) AS order_value,
       coalesce(s.orders, 0) AS orders,
       CAST(CAST(s.order_value AS DECIMAL(38, 8)) / nullif(s.orders, 0) AS DECIMAL(38, 4)) AS aov,
       coalesce(v.sessions, 0) AS sessions, coalesce(v.converted_sessions, 0) AS converted_sessions,
       CAST(v.converted_sessions AS DOUBLE) / nullif(v.sessions, 0) AS conversion_rate
FROM days AS d LEFT JOIN visits AS v ON d.day = v.day LEFT JOIN sold AS s ON d.day = s.day
ORDER BY d.day
