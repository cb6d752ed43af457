-- summary = "Active users and sessions: now, and how it was before"
-- description = """
-- Distinct users and sessions with an event in the minutes before each moment: (moment - minutes, moment]. The first
-- row is now (or at=), where events that had come by then stamped up to five minutes ahead count; each further row is
-- one window earlier.
-- """
-- cache = "10s"
-- chart = "line"
-- units = { active_users = "count", active_sessions = "count", events = "count" }
--
-- [params.at]
-- type = "timestamp"
-- default = "now"
-- doc = "as it was at this moment"
--
-- [params.minutes]
-- type = "integer"
-- default = 5
-- min = 1
-- max = 1440
-- doc = "length of the window"
--
-- [params.points]
-- type = "integer"
-- default = 12
-- min = 1
-- max = 1500
-- doc = "how many windows"
--
-- [params.country]
-- type = "string"
-- optional = true
-- doc = "only from there"
--
-- [params.device]
-- type = "enum"
-- values = ["mobile", "desktop"]
-- optional = true
-- doc = "only on phones and tablets, or only on others"
WITH windows AS (
  SELECT greatest((CAST($at AS BIGINT) - CAST(event_ts AS BIGINT)) / 1000000, 0)
           / (60 * CAST($minutes AS BIGINT)) AS number,
         coalesce(user_id, anonymous_id) AS visitor, session_id, event_type
  FROM events
  WHERE event_ts > to_timestamp_micros(CAST($at AS BIGINT) - CAST($points AS BIGINT) * CAST($minutes AS BIGINT) * 60000000)
    AND (event_ts <= $at OR (received_at <= $at AND event_ts <= $at + INTERVAL '5 minutes')) AND bot IS NOT TRUE
    AND ($country IS NULL OR country = $country) AND ($device IS NULL OR mobile = ($device = 'mobile'))
), counted AS (
  SELECT number, count(DISTINCT visitor) AS active_users, count(DISTINCT session_id) AS active_sessions, count(*) AS events
  FROM windows GROUP BY number
), moments AS (
  SELECT unnest(range(0, CAST($points AS BIGINT))) AS number
)
SELECT arrow_cast(CAST($at AS BIGINT) - m.number * CAST($minutes AS BIGINT) * 60000000,
                  'Timestamp(Microsecond, Some("UTC"))') AS at, coalesce(c.active_users, 0) AS active_users,
       coalesce(c.active_sessions, 0) AS active_sessions, coalesce(c.events, 0) AS events
FROM moments AS m LEFT JOIN counted AS c ON m.number = c.number
ORDER BY at DESC
