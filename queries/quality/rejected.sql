-- summary = "Events that were not accepted, by hour and reason"
-- description = """
-- Dead letters by the hour they were received, with the source, the field and the code of the reason, and where they
-- stand now.
-- """
-- cache = "10s"
-- chart = "bars"
-- units = { events = "count" }
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
-- [params.code]
-- type = "string"
-- optional = true
-- doc = "only this reason"
--
-- [params.status]
-- type = "string"
-- optional = true
-- doc = "only in this state"
SELECT date_trunc('hour', received_at) AS hour, source, field, code, status, count(*) AS events
FROM dead_letters
WHERE received_at >= shop_midnight($start) AND received_at < shop_day_end($end)
  AND ($code IS NULL OR code = $code) AND ($status IS NULL OR status = $status)
GROUP BY date_trunc('hour', received_at), source, field, code, status
ORDER BY hour, source NULLS LAST, field NULLS LAST, code, status NULLS LAST
