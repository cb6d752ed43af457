-- Sessions that viewed a product, added to the cart, started checkout and purchased, in this order of time, all in
-- ($since, $until]. A tie in time is broken by the order of the steps. Bots are left out.
-- $since, $until: microseconds since the epoch.
WITH steps AS (
  SELECT session_id, event_ts, event_type
  FROM events
  WHERE event_ts > to_timestamp_micros($since) AND event_ts <= to_timestamp_micros($until)
    AND event_type IN ('product_view', 'add_to_cart', 'checkout_start', 'purchase')
    AND session_id IS NOT NULL AND bot IS NOT TRUE
), viewed AS (
  SELECT session_id, min(event_ts) AS at FROM steps WHERE event_type = 'product_view' GROUP BY session_id
), added AS (
  SELECT s.session_id, min(s.event_ts) AS at FROM steps s JOIN viewed p ON s.session_id = p.session_id
  WHERE s.event_type = 'add_to_cart' AND s.event_ts >= p.at GROUP BY s.session_id
), started AS (
  SELECT s.session_id, min(s.event_ts) AS at FROM steps s JOIN added p ON s.session_id = p.session_id
  WHERE s.event_type = 'checkout_start' AND s.event_ts >= p.at GROUP BY s.session_id
), bought AS (
  SELECT s.session_id, min(s.event_ts) AS at FROM steps s JOIN started p ON s.session_id = p.session_id
  WHERE s.event_type = 'purchase' AND s.event_ts >= p.at GROUP BY s.session_id
)
SELECT (SELECT count(*) FROM viewed) AS product_view, (SELECT count(*) FROM added) AS add_to_cart,
       (SELECT count(*) FROM started) AS checkout_start, (SELECT count(*) FROM bought) AS purchase
