-- summary = "KPIs that are not as usual"
-- description = """
-- Each KPI a minute, the mean of the last five minutes, against what is usual: the hour around this one in the four weeks
-- before, or, with less than two weeks of history, the hour before. z is the distance from the median in robust standard
-- deviations: 1.4826 times the median absolute deviation, and not less than a count of that size varies by itself, nor
-- than 10 % of the median. Not judged with fewer than 30 minutes to compare with, nor where there are fewer than 10
-- events of the kind a minute (for revenue: orders), then and now. distance is z without its sign. Items of a purchase
-- that states no revenue are not looked into.
-- """
-- chart = "table"
-- units = { recent = "per minute", usual = "per minute", minutes = "count", z = "deviations", distance = "deviations" }
--
-- [params.at]
-- type = "timestamp"
-- default = "now"
-- doc = "as it was at this moment"
--
-- [alert]
-- key = "kpi"
-- value = "distance"
-- open = "> 6"
-- close = "< 3"
-- every = "1m"
-- for = "1m"
-- keep = "5m"
-- message = "{kpi}: {recent} a minute where {usual} are usual"
WITH points AS (
  SELECT 0 AS week, (CAST($at AS BIGINT) - CAST(event_ts AS BIGINT)) / 60000000 AS minute,
         event_type, session_id, order_id, event_id, revenue, price, quantity
  FROM events
  WHERE event_ts > $at - INTERVAL '65 minutes' AND event_ts <= $at AND bot IS NOT TRUE
  UNION ALL
  SELECT 1, (CAST($at AS BIGINT) + 1800000000 - CAST(event_ts AS BIGINT)) / 60000000,
         event_type, session_id, order_id, event_id, revenue, price, quantity
  FROM events
  WHERE event_ts > $at - INTERVAL '7 days' - INTERVAL '30 minutes' AND event_ts <= $at - INTERVAL '7 days' + INTERVAL '30 minutes'
    AND bot IS NOT TRUE
  UNION ALL
  SELECT 2, (CAST($at AS BIGINT) + 1800000000 - CAST(event_ts AS BIGINT)) / 60000000,
         event_type, session_id, order_id, event_id, revenue, price, quantity
  FROM events
  WHERE event_ts > $at - INTERVAL '14 days' - INTERVAL '30 minutes' AND event_ts <= $at - INTERVAL '14 days' + INTERVAL '30 minutes'
    AND bot IS NOT TRUE
  UNION ALL
  SELECT 3, (CAST($at AS BIGINT) + 1800000000 - CAST(event_ts AS BIGINT)) / 60000000,
         event_type, session_id, order_id, event_id, revenue, price, quantity
  FROM events
  WHERE event_ts > $at - INTERVAL '21 days' - INTERVAL '30 minutes' AND event_ts <= $at - INTERVAL '21 days' + INTERVAL '30 minutes'
    AND bot IS NOT TRUE
  UNION ALL
  SELECT 4, (CAST($at AS BIGINT) + 1800000000 - CAST(event_ts AS BIGINT)) / 60000000,
         event_type, session_id, order_id, event_id, revenue, price, quantity
  FROM events
  WHERE event_ts > $at - INTERVAL '28 days' - INTERVAL '30 minutes' AND event_ts <= $at - INTERVAL '28 days' + INTERVAL '30 minutes'
    AND bot IS NOT TRUE
), minutes AS (
  SELECT week, minute, CAST(count(*) AS DOUBLE) AS events, CAST(count(DISTINCT session_id) AS DOUBLE) AS sessions,
         CAST(count(*) FILTER (WHERE event_type = 'page_view') AS DOUBLE) AS page_views,
         CAST(count(*) FILTER (WHERE event_type = 'add_to_cart') AS DOUBLE) AS add_to_carts,
         CAST(count(*) FILTER (WHERE event_type = 'checkout_start') AS DOUBLE) AS checkouts,
         CAST(count(DISTINCT CASE WHEN event_type = 'purchase' THEN coalesce(order_id, event_id) END) AS DOUBLE) AS orders,
         CAST(coalesce(sum(CASE WHEN event_type = 'purchase'
                                THEN coalesce(revenue, price * coalesce(quantity, 1)) END), 0) AS DOUBLE) AS revenue
  FROM points GROUP BY week, minute
), kpis AS (
  SELECT week, minute,
         unnest(make_array('events', 'sessions', 'page_views', 'add_to_carts', 'checkouts', 'orders', 'revenue')) AS kpi,
         unnest(make_array(events, sessions, page_views, add_to_carts, checkouts, orders, revenue)) AS n,
         unnest(make_array(events, sessions, page_views, add_to_carts, checkouts, orders, orders)) AS volume
  FROM minutes
), summed AS (
  SELECT kpi, coalesce(sum(n) FILTER (WHERE week = 0 AND minute < 5), 0) / 5 AS recent,
         coalesce(sum(volume) FILTER (WHERE week = 0 AND minute < 5), 0) / 5 AS recent_volume,
         count(*) FILTER (WHERE week = 1) >= 30 AND count(*) FILTER (WHERE week = 2) >= 30 AS by_week,
         median(n) FILTER (WHERE week > 0) AS week_median, median(n) FILTER (WHERE week = 0 AND minute >= 5) AS hour_median,
         avg(volume) FILTER (WHERE week > 0) AS week_volume,
         avg(volume) FILTER (WHERE week = 0 AND minute >= 5) AS hour_volume,
         array_agg(n) FILTER (WHERE week > 0) AS week_points,
         array_agg(n) FILTER (WHERE week = 0 AND minute >= 5) AS hour_points
  FROM kpis GROUP BY kpi
), chosen AS (
  SELECT kpi, recent, recent_volume, CASE WHEN by_week THEN 'week' ELSE 'hour' END AS basis,
         CASE WHEN by_week THEN week_median ELSE hour_median END AS usual,
         CASE WHEN by_week THEN week_volume ELSE hour_volume END AS volume,
         unnest(CASE WHEN by_week THEN week_points ELSE hour_points END) AS point
  FROM summed
), spread AS (
  SELECT kpi, basis, recent, usual, count(*) AS minutes, greatest(recent_volume, volume) AS most,
         greatest(1.4826 * median(abs(point - usual)), usual / sqrt(greatest(volume, 1)), 0.1 * usual) AS deviation
  FROM chosen GROUP BY kpi, basis, recent, usual, recent_volume, volume
), scored AS (
  SELECT *, CASE WHEN minutes >= 30 AND most >= 10 AND deviation > 0 THEN (recent - usual) / deviation END AS z FROM spread
)
SELECT kpi, basis, minutes, recent, usual, z, abs(z) AS distance FROM scored ORDER BY kpi
