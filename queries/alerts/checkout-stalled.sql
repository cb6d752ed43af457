-- summary = "Checkouts that are begun and do not end in orders"
-- description = """
-- Orders of the last 2, 5, 15 and 60 minutes against those that the checkouts begun in that time would make, at the rate
-- of the day before around this time; z is how many standard deviations fewer they are. Orders follow their checkouts by
-- minutes, so checkouts of short windows are those of 15 minutes, in proportion. The deviation is that of counts, of
-- both samples, and 10 % of what is expected, since no two days are the same. The window named is the one that is most
-- conspicuous; once the shortest that can be judged is as it should be, that one. Windows with fewer than 20 expected
-- orders, and those in which checkouts are not begun any more, are not judged. Where little is known of the day before, the
-- hour before the last 15 minutes stands for it.
-- """
-- chart = "number"
-- units = { minutes = "minutes", started = "count", orders = "count", expected = "count", z = "deviations" }
--
-- [params.at]
-- type = "timestamp"
-- default = "now"
-- doc = "as it was at this moment"
--
-- [alert]
-- value = "z"
-- open = "< -4"
-- close = "> -2"
-- every = "15s"
-- keep = "1m"
-- severity = "critical"
-- message = "Checkout stalled: {orders} orders in {minutes} minutes where {expected} were to be expected"
WITH steps AS (
  SELECT 0 AS day, (CAST($at AS BIGINT) - CAST(event_ts AS BIGINT)) / 60000000 AS minute, event_type, order_id, event_id
  FROM events
  WHERE event_type IN ('checkout_start', 'checkout_step', 'purchase') AND bot IS NOT TRUE
    AND event_ts > $at - INTERVAL '75 minutes' AND event_ts <= $at
  UNION ALL
  SELECT 1, 0, event_type, order_id, event_id
  FROM events
  WHERE event_type IN ('checkout_start', 'checkout_step', 'purchase') AND bot IS NOT TRUE
    AND event_ts > $at - INTERVAL '1470 minutes' AND event_ts <= $at - INTERVAL '1410 minutes'
), counted AS (
  SELECT day, minute, count(*) FILTER (WHERE event_type <> 'purchase') AS started,
         count(DISTINCT CASE WHEN event_type = 'purchase' THEN coalesce(order_id, event_id) END) AS orders
  FROM steps GROUP BY day, minute
), summed AS (
  SELECT sum(started) FILTER (WHERE day = 1) AS started_before, sum(orders) FILTER (WHERE day = 1) AS orders_before,
         sum(started) FILTER (WHERE day = 0 AND minute >= 15) AS started_hour,
         sum(orders) FILTER (WHERE day = 0 AND minute >= 15) AS orders_hour,
         sum(started) FILTER (WHERE day = 0 AND minute < 2) AS s2, sum(orders) FILTER (WHERE day = 0 AND minute < 2) AS o2,
         sum(started) FILTER (WHERE day = 0 AND minute < 5) AS s5, sum(orders) FILTER (WHERE day = 0 AND minute < 5) AS o5,
         sum(started) FILTER (WHERE day = 0 AND minute < 15) AS s15, sum(orders) FILTER (WHERE day = 0 AND minute < 15) AS o15,
         sum(started) FILTER (WHERE day = 0 AND minute < 60) AS s60, sum(orders) FILTER (WHERE day = 0 AND minute < 60) AS o60
  FROM counted
), usual AS (
  SELECT *, CASE WHEN started_before >= 30 THEN CAST(started_before AS DOUBLE) WHEN started_hour >= 30 THEN CAST(started_hour AS DOUBLE) END AS of_started,
         CAST(CASE WHEN started_before >= 30 THEN orders_before ELSE orders_hour END AS DOUBLE) AS of_orders
  FROM summed
), windows AS (
  SELECT unnest(make_array(2, 5, 15, 60)) AS minutes,
         unnest(make_array(coalesce(s2, 0), coalesce(s5, 0), s15, s60)) AS started,
         unnest(make_array(coalesce(o2, 0), coalesce(o5, 0), coalesce(o15, 0), coalesce(o60, 0))) AS orders,
         unnest(make_array(s15 * 2.0 / 15, s15 * 5.0 / 15, CAST(s15 AS DOUBLE), CAST(s60 AS DOUBLE))) AS exposed,
         unnest(make_array(s15, s15, s15, s60)) AS sample, of_orders, of_started
  FROM usual
), expected AS (
  SELECT *, exposed * of_orders / of_started AS expected FROM windows
), scored AS (
  SELECT minutes, started, orders, expected,
         (orders - expected) / sqrt(expected + expected * expected * (1.0 / sample + 1.0 / of_orders + 0.01)) AS z
  FROM expected
  WHERE expected >= 20 AND of_orders > 0 AND started >= exposed / 2
), judged AS (
  SELECT count(*) AS n, min(z) AS worst, first_value(z ORDER BY minutes) AS latest,
         first_value(minutes ORDER BY z) AS minutes, first_value(started ORDER BY z) AS started,
         first_value(orders ORDER BY z) AS orders, first_value(expected ORDER BY z) AS expected,
         first_value(minutes ORDER BY minutes) AS short_minutes, first_value(started ORDER BY minutes) AS short_started,
         first_value(orders ORDER BY minutes) AS short_orders, first_value(expected ORDER BY minutes) AS short_expected
  FROM scored
)
SELECT CASE WHEN latest >= -1 THEN short_minutes ELSE minutes END AS minutes,
       CASE WHEN latest >= -1 THEN short_started ELSE started END AS started,
       CASE WHEN latest >= -1 THEN short_orders ELSE orders END AS orders,
       CASE WHEN latest >= -1 THEN short_expected ELSE expected END AS expected,
       CASE WHEN latest >= -1 THEN latest ELSE worst END AS z
FROM judged WHERE n > 0
