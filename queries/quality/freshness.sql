-- summary = "How current the data is"
-- description = """
-- The latest event by its own time and by arrival, for each type, and what arrived in the hour before the moment asked
-- for.
-- """
-- cache = "10s"
-- chart = "table"
-- units = { events = "count", received_last_hour = "count" }
--
-- [params.at]
-- type = "timestamp"
-- default = "now"
-- doc = "as it was at this moment"
SELECT event_type, max(event_ts) AS last_event_at, max(received_at) AS last_received_at, count(*) AS events,
       count(*) FILTER (WHERE received_at > $at - INTERVAL '1 hour' AND received_at <= $at) AS received_last_hour
FROM events
WHERE event_ts <= $at
GROUP BY event_type
ORDER BY event_type
