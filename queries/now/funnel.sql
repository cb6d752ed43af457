-- summary = "How far sessions come, now"
-- description = """
-- Sessions that viewed a product, added to the cart, started checkout and purchased, in this order of time, all in the
-- span before the moment asked for.
-- Narrowed to sessions: those with an event in the span that is of this page, this product and so on, with all they
-- did in it.
-- """
-- cache = "2s"
-- chart = "funnel"
-- units = { step = "count", sessions = "count", step_rate = "ratio", overall_rate = "ratio", drop_off = "count" }
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
), viewed AS (
  SELECT session_id, min(event_ts) AS at FROM seen WHERE event_type = 'product_view' GROUP BY session_id
), added AS (
  SELECT s.session_id, min(s.event_ts) AS at FROM seen s JOIN viewed p ON s.session_id = p.session_id
  WHERE s.event_type = 'add_to_cart' AND s.event_ts >= p.at GROUP BY s.session_id
), started AS (
  SELECT s.session_id, min(s.event_ts) AS at FROM seen s JOIN added p ON s.session_id = p.session_id
  WHERE s.event_type = 'checkout_start' AND s.event_ts >= p.at GROUP BY s.session_id
), purchased AS (
  SELECT s.session_id, min(s.event_ts) AS at FROM seen s JOIN started p ON s.session_id = p.session_id
  WHERE s.event_type = 'purchase' AND s.event_ts >= p.at GROUP BY s.session_id
), steps AS (
  SELECT 1 AS step, 'product_view' AS name, (SELECT count(*) FROM viewed) AS sessions
  UNION ALL SELECT 2, 'add_to_cart', (SELECT count(*) FROM added)
  UNION ALL SELECT 3, 'checkout_start', (SELECT count(*) FROM started)
  UNION ALL SELECT 4, 'purchase', (SELECT count(*) FROM purchased)
)
SELECT s.step, s.name, s.sessions, b.sessions AS step_from, CAST(s.sessions AS DOUBLE) / nullif(b.sessions, 0) AS step_rate,
       f.sessions AS overall_from, CAST(s.sessions AS DOUBLE) / nullif(f.sessions, 0) AS overall_rate,
       coalesce(b.sessions - s.sessions, 0) AS drop_off
FROM steps AS s LEFT JOIN steps AS b ON b.step = s.step - 1 CROSS JOIN (SELECT sessions FROM steps WHERE step = 1) AS f
ORDER BY s.step
