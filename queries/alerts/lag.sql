-- summary = "Events that come late"
-- description = """
-- The median of received_at - event_ts, in whole seconds, over events of the last day that were received in the last five minutes. What is
-- older is history being loaded and does not count. Not judged below 50 events. It must last for longer than the five minutes
-- that are looked at: what was caught up at once, after a pause or a short load, is no lag.
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
-- for = "6m"
-- every = "1m"
-- message = "Events come {lag_seconds} seconds late (median of {events} in five minutes)"
WITH lags AS (
  SELECT (CAST(received_at AS BIGINT) - CAST(event_ts AS BIGINT)) / 1000000 AS seconds, count(*) AS n
  FROM events
  WHERE event_ts > $at - INTERVAL '1 day' AND received_at > $at - INTERVAL '5 minutes' AND received_at <= $at
  GROUP BY (CAST(received_at AS BIGINT) - CAST(event_ts AS BIGINT)) / 1000000
), ranked AS (
  SELECT seconds, sum(n) OVER (ORDER BY seconds) AS upto, sum(n) OVER () AS events FROM lags
)
SELECT coalesce(max(events), 0) AS events,
       CASE WHEN max(events) >= 50 THEN min(seconds) FILTER (WHERE upto * 2 >= events) END AS lag_seconds
FROM ranked
