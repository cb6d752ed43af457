-- summary = "Which anonymous visitors became which users"
-- description = """
-- Pairs of user_id and anonymous_id that events carried together, and how many users each anonymous_id has had: more
-- than one is a shared device.
-- """
-- cache = "10s"
-- chart = "table"
-- units = { events = "count", identifications = "count", users_of_anonymous_id = "count" }
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
-- optional = true
-- doc = "only this user_id or anonymous_id"
--
-- [params.limit]
-- type = "integer"
-- default = 100
-- min = 1
-- max = 10000
-- doc = "how many rows"
SELECT user_id, anonymous_id, first_seen_at, last_seen_at, events, identifications, users_of_anonymous_id
FROM (SELECT *, count(*) OVER (PARTITION BY anonymous_id) AS users_of_anonymous_id FROM identities)
WHERE last_seen_at >= shop_midnight($start) AND first_seen_at < shop_day_end($end)
  AND ($user_id IS NULL OR user_id = $user_id OR anonymous_id = $user_id)
ORDER BY first_seen_at, user_id, anonymous_id
LIMIT $limit
