-- summary = "What one user did, step by step"
-- description = """
-- The events of one user in order, known and anonymous: everything under the user_id, and under each anonymous_id that
-- was linked to it (stitched).
-- """
-- cache = "10s"
-- chart = "table"
--
-- [params.start]
-- type = "date"
-- default = "-29d"
-- doc = "first day, in the shop's time zone"
--
-- [params.end]
-- type = "date"
-- default = "today"
-- doc = "last day"
--
-- [params.user_id]
-- type = "string"
-- doc = "a user_id, or an anonymous_id"
--
-- [params.limit]
-- type = "integer"
-- default = 1000
-- min = 1
-- max = 10000
-- doc = "how many rows"
SELECT event_ts, event_type, session_id, page, channel, utm_source, utm_campaign, product_id, price, quantity, order_id,
       revenue, user_id, anonymous_id, user_id IS NULL AND anonymous_id <> $user_id AS stitched, event_id
FROM events
WHERE event_ts >= shop_midnight($start) AND event_ts < shop_day_end($end) AND bot IS NOT TRUE
  AND (user_id = $user_id OR anonymous_id = $user_id
       OR (user_id IS NULL AND anonymous_id IN (SELECT anonymous_id FROM identities WHERE user_id = $user_id)))
ORDER BY event_ts, seq
LIMIT $limit
