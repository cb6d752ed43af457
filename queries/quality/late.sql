-- summary = "Events that came late, by hour"
-- description = """
-- Events by the hour they were received, and those that came more than late_after after they happened. lag is
-- received_at - event_ts; late_rate = late / events. Bots are counted too.
-- """
-- cache = "10s"
-- chart = "line"
-- units = { events = "count", late = "count", late_rate = "ratio", lag_ms_p50 = "milliseconds", lag_ms_max = "milliseconds" }
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
-- [params.late_after]
-- type = "duration"
-- default = "10m"
-- doc = "from when on an event is late"
SELECT date_trunc('hour', received_at) AS hour, count(*) AS events,
       count(*) FILTER (WHERE received_at > event_ts + CAST($late_after AS INTERVAL)) AS late,
       CAST(count(*) FILTER (WHERE received_at > event_ts + CAST($late_after AS INTERVAL)) AS DOUBLE) / nullif(count(*), 0) AS late_rate,
       percentile_cont(CAST((CAST(received_at AS BIGINT) - CAST(event_ts AS BIGINT)) / 1000 AS DOUBLE), 0.5) AS lag_ms_p50,
       max((CAST(received_at AS BIGINT) - CAST(event_ts AS BIGINT)) / 1000) AS lag_ms_max
FROM events
WHERE received_at >= shop_midnight($start) AND received_at < shop_day_end($end)
GROUP BY date_trunc('hour', received_at)
ORDER BY hour
