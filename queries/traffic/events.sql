-- summary = "Events per second or minute, by type"
-- description = """
-- How many events of each type happened in each second or minute before the moment asked for. Buckets without events
-- of a type have no row. per_second is events over the bucket's length.
-- """
-- cache = "10s"
-- chart = "line"
-- units = { events = "count", per_second = "rate" }
--
-- [params.at]
-- type = "timestamp"
-- default = "now"
-- doc = "as it was at this moment"
--
-- [params.bucket]
-- type = "enum"
-- values = ["second", "minute"]
-- default = "minute"
-- doc = "how long a bucket is"
--
-- [params.since]
-- type = "duration"
-- default = "1h"
-- doc = "how far back"
--
-- [params.event_type]
-- type = "string"
-- optional = true
-- doc = "only this type"
--
-- [params.user_id]
-- type = "string"
-- optional = true
-- doc = "only this user: a user_id, or an anonymous_id"
SELECT CASE $bucket WHEN 'second' THEN date_trunc('second', event_ts) ELSE date_trunc('minute', event_ts) END AS bucket_start,
       event_type, count(*) AS events,
       CAST(count(*) AS DOUBLE) / CASE $bucket WHEN 'second' THEN 1 ELSE 60 END AS per_second
FROM events
WHERE event_ts > $at - CAST($since AS INTERVAL) AND event_ts <= $at
  AND ($event_type IS NULL OR event_type = $event_type) AND bot IS NOT TRUE AND ($user_id IS NULL OR user_id = $user_id OR anonymous_id = $user_id)
GROUP BY CASE $bucket WHEN 'second' THEN date_trunc('second', event_ts) ELSE date_trunc('minute', event_ts) END, event_type
ORDER BY bucket_start, event_type
