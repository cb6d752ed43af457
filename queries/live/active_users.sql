-- Users with an event in ($since, $until], the latest first, names in order among equals; bots left out.
-- $since, $until: microseconds since the epoch. $limit: how many.
SELECT coalesce(user_id, anonymous_id) AS id, max(event_ts) AS last_seen
FROM events
WHERE event_ts > to_timestamp_micros($since) AND event_ts <= to_timestamp_micros($until)
  AND coalesce(user_id, anonymous_id) IS NOT NULL AND bot IS NOT TRUE
GROUP BY coalesce(user_id, anonymous_id)
ORDER BY last_seen DESC, id
LIMIT $limit
