-- summary = "Events that come late"
-- description = """
-- The median of received_at - event_ts over events of the last day that were received in the last five minutes. What is
-- older is history being loaded and does not count. Not judged below 50 events.
-- """
-- chart = "number"
-- units = { events = "count", lag_seconds = "seconds" }
--
-- [params.at]
-- type = "timestamp"
-- default = "now"
-- doc = "as it was at this moment"
--
-- [alert]
-- value = "lag_seconds"
-- open = "> 60"
-- close = "< 30"
-- every = "30s"
-- message = "Events come {lag_seconds} seconds late (median of {events} in five minutes)"
SELECT events, CASE WHEN events >= 50 THEN lag_ms / 1000.0 END AS lag_seconds
FROM (
  SELECT count(*) AS events,
         approx_median(CAST((CAST(received_at AS BIGINT) - CAST(event_ts AS BIGINT)) / 1000 AS DOUBLE)) AS lag_ms
  FROM events
  WHERE event_ts > $at - INTERVAL '1 day' AND received_at > $at - INTERVAL '5 minutes' AND received_at <= $at
)
