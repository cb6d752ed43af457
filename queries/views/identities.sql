-- Which anonymous visitors turned out to be which users: from every event that carries both, as identify events do.
SELECT user_id, anonymous_id, min(event_ts) AS first_seen_at, max(event_ts) AS last_seen_at, count(*) AS events,
       count(*) FILTER (WHERE event_type IN ('identify', 'alias')) AS identifications
FROM events
WHERE user_id IS NOT NULL AND anonymous_id IS NOT NULL AND bot IS NOT TRUE
GROUP BY user_id, anonymous_id
