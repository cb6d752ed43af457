-- In how many sessions each user had an event in ($since, $until], the latest users first; bots left out.
-- $since, $until: microseconds since the epoch. $limit: how many users.
SELECT coalesce(user_id, anonymous_id) AS id, max(event_ts) AS last_seen, count(DISTINCT session_id) AS sessions
FROM events
WHERE event_ts > to_timestamp_micros($since) AND event_ts <= to_timestamp_micros($until)
  AND coalesce(user_id, anonymous_id) IS NOT NULL AND bot IS NOT TRUE
GROUP BY coalesce(user_id, anonymous_id)
ORDER BY last_seen DESC, id
LIMIT $limit
