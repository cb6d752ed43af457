-- summary = "Visitors and sessions that are active"
-- description = """
-- Distinct users and sessions with an event in the span before the moment asked for.
-- Narrowed to sessions: those with an event in the span that is of this page, this product and so on, with all they
-- did in it.
-- """
-- cache = "2s"
-- chart = "number"
-- units = { active_users = "count", active_sessions = "count" }
--
-- [params.at]
-- type = "timestamp"
-- default = "now"
-- doc = "as it was at this moment"
--
-- [params.since]
-- type = "duration"
-- default = "5m"
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
)
SELECT count(DISTINCT coalesce(user_id, anonymous_id)) AS active_users, count(DISTINCT session_id) AS active_sessions
FROM seen
