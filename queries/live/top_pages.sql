-- Pages by views in whole minutes, bots left out; names in order among equals.
-- $from, $to: microseconds since the epoch, half-open. $limit: how many.
SELECT page, count(*) AS views
FROM events
WHERE event_ts >= to_timestamp_micros($from) AND event_ts < to_timestamp_micros($to)
  AND event_type = 'page_view' AND page IS NOT NULL AND bot IS NOT TRUE
GROUP BY page
ORDER BY views DESC, page
LIMIT $limit
