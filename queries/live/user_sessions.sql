-- The sessions in which one user had an event in ($since, $until], the latest first; bots left out.
-- $user: a user_id, or the anonymous_id of events without one. $since, $until: microseconds since the epoch.
SELECT session_id AS id, max(event_ts) AS last_seen
FROM events
WHERE event_ts > to_timestamp_micros($since) AND event_ts <= to_timestamp_micros($until)
  AND coalesce(user_id, anonymous_id) = $user AND session_id IS NOT NULL AND bot IS NOT TRUE
GROUP BY session_id
ORDER BY last_seen DESC, id
