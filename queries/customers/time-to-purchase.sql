-- summary = "From the first view to the order"
-- description = """
-- For customers whose first order is in the period: from their first product view (at most lookback before) to that
-- order. Users are taken as they were at each event; views before somebody was known are not theirs (see
-- users/identities). customers without a view are counted apart. Percentiles are exact.
-- """
-- cache = "10s"
-- chart = "number"
-- units = { customers = "count", with_view = "count", without_view = "count", ms_p50 = "milliseconds", ms_p90 = "milliseconds" }
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
-- [params.lookback]
-- type = "duration"
-- default = "90d"
-- doc = "how far back a view may lie"
WITH firsts AS (
  SELECT visitor, ordered_at FROM orders
  WHERE first_order AND ordered_at >= shop_midnight($start) AND ordered_at < shop_day_end($end)
), views AS (
  SELECT coalesce(user_id, anonymous_id) AS visitor, event_ts
  FROM events
  WHERE event_type = 'product_view' AND bot IS NOT TRUE
    AND event_ts >= shop_midnight($start) - CAST($lookback AS INTERVAL) AND event_ts < shop_day_end($end)
), timed AS (
  SELECT f.visitor, (CAST(f.ordered_at AS BIGINT) - CAST(min(v.event_ts) AS BIGINT)) / 1000 AS ms
  FROM firsts AS f LEFT JOIN views AS v ON f.visitor = v.visitor AND v.event_ts <= f.ordered_at
    AND v.event_ts >= f.ordered_at - CAST($lookback AS INTERVAL)
  GROUP BY f.visitor, f.ordered_at
)
SELECT count(*) AS customers, count(ms) AS with_view, count(*) - count(ms) AS without_view,
       percentile_cont(CAST(ms AS DOUBLE), 0.5) AS ms_p50, percentile_cont(CAST(ms AS DOUBLE), 0.9000000000001) AS ms_p90
FROM timed
