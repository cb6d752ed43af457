-- summary = "No orders where there should be some"
-- description = """
-- How many orders were to be expected since the last one: as many a minute as in the hour before it, and not more than
-- there were in the same minutes of the day before, where anything is known of it. Not judged after hours with fewer
-- than 12 orders, and when the last order is more than three hours ago.
-- """
-- chart = "number"
-- units = { last_order_at = "timestamp", minutes = "minutes", orders_hour = "count", orders_day_before = "count", missed = "count" }
--
-- [params.at]
-- type = "timestamp"
-- default = "now"
-- doc = "as it was at this moment"
--
-- [alert]
-- value = "missed"
-- open = ">= 20"
-- close = "< 4"
-- every = "30s"
-- lapse = "12h"
-- severity = "critical"
-- message = "No order for {minutes} minutes: {missed} were to be expected"
WITH bought AS (
  SELECT day, min(event_ts) AS ordered_at
  FROM (
    SELECT 0 AS day, event_ts, order_id, event_id FROM events
    WHERE event_type = 'purchase' AND bot IS NOT TRUE
      AND event_ts > $at - INTERVAL '3 hours' AND event_ts <= $at
    UNION ALL
    SELECT 1, event_ts + INTERVAL '1 day', order_id, event_id FROM events
    WHERE event_type = 'purchase' AND bot IS NOT TRUE
      AND event_ts > $at - INTERVAL '27 hours' AND event_ts <= $at - INTERVAL '24 hours'
  )
  GROUP BY day, coalesce(order_id, event_id)
), counted AS (
  SELECT max(last_order_at) AS last_order_at,
         count(*) FILTER (WHERE day = 0 AND ordered_at > last_order_at - INTERVAL '1 hour') AS orders_hour,
         count(*) FILTER (WHERE day = 1) AS known,
         count(*) FILTER (WHERE day = 1 AND ordered_at > last_order_at) AS orders_day_before
  FROM (SELECT day, ordered_at, max(CASE WHEN day = 0 THEN ordered_at END) OVER () AS last_order_at FROM bought)
), waited AS (
  SELECT *, CAST(CAST($at AS BIGINT) - CAST(last_order_at AS BIGINT) AS DOUBLE) / 60000000 AS minutes FROM counted
)
SELECT last_order_at, minutes, orders_hour, CASE WHEN known > 0 THEN orders_day_before END AS orders_day_before,
       CASE WHEN orders_hour >= 12
            THEN least(orders_hour * minutes / 60, CASE WHEN known > 0 THEN CAST(orders_day_before AS DOUBLE) END) END
         AS missed
FROM waited
