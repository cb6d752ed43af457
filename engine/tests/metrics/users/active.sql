-- summary = "Users and sessions active at a moment"
-- description = """
-- Distinct users and sessions with an event in the window before `at`. An event stamped up to 5 minutes ahead counts as now.
-- """
-- chart = "number"
-- units = { active_users = "count", active_sessions = "count" }
--
-- [params.at]
-- type = "timestamp"
-- default = "now"
-- doc = "the moment"
--
-- [params.window]
-- type = "duration"
-- default = "5m"
-- min = "1m"
-- max = "24h"
-- doc = "how far back"
SELECT count(DISTINCT coalesce(user_id, anonymous_id)) AS active_users,
       count(DISTINCT session_id) AS active_sessions
FROM events
WHERE event_ts > $at - $window AND event_ts <= $at + INTERVAL '5 minutes' AND bot IS NOT TRUE
