-- Distinct users and sessions with an event in ($since, $until], bots left out.
-- $since, $until: microseconds since the epoch.
SELECT count(DISTINCT coalesce(user_id, anonymous_id)) AS active_users,
       count(DISTINCT session_id) AS active_sessions
FROM events
WHERE event_ts > to_timestamp_micros($since) AND event_ts <= to_timestamp_micros($until) AND bot IS NOT TRUE
