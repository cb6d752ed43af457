-- summary = "Fewer visits that buy than the day before"
-- description = """
-- Of the visits active in each minute, those that bought in it, over the last 5, 15 and 60 minutes, against the day
-- before around this time; z is how many standard deviations fewer they are. The deviation is that of counts, of both
-- samples, and 15 % of what is expected, since no two days are the same. The window named is the one that is most
-- conspicuous; once the shortest that can be judged is as it should be, that one. Windows with fewer than 20 expected
-- buyers are not judged.
-- """
-- chart = "number"
-- units = { minutes = "minutes", visits = "count", buyers = "count", expected = "count", z = "deviations" }
--
-- [params.at]
-- type = "timestamp"
-- default = "now"
-- doc = "as it was at this moment"
--
-- [alert]
-- value = "z"
-- open = "< -4"
-- close = "> -2"
-- every = "1m"
-- for = "1m"
-- keep = "5m"
-- message = "Conversion drop: {buyers} visits bought in {minutes} minutes where {expected} were to be expected"
WITH active AS (
  SELECT 0 AS day, (CAST($at AS BIGINT) - CAST(event_ts AS BIGINT)) / 60000000 AS minute, event_type, session_id
  FROM events
  WHERE session_id IS NOT NULL AND bot IS NOT TRUE AND event_ts > $at - INTERVAL '60 minutes' AND event_ts <= $at
  UNION ALL
  SELECT 1, (CAST($at AS BIGINT) - CAST(event_ts AS BIGINT)) / 60000000, event_type, session_id
  FROM events
  WHERE session_id IS NOT NULL AND bot IS NOT TRUE
    AND event_ts > $at - INTERVAL '1470 minutes' AND event_ts <= $at - INTERVAL '1410 minutes'
), counted AS (
  SELECT day, minute, count(DISTINCT session_id) AS visits,
         count(DISTINCT CASE WHEN event_type = 'purchase' THEN session_id END) AS buyers
  FROM active GROUP BY day, minute
), summed AS (
  SELECT CAST(sum(visits) FILTER (WHERE day = 1) AS DOUBLE) AS of_visits,
         CAST(sum(buyers) FILTER (WHERE day = 1) AS DOUBLE) AS of_buyers,
         sum(visits) FILTER (WHERE day = 0 AND minute < 5) AS v5, sum(buyers) FILTER (WHERE day = 0 AND minute < 5) AS b5,
         sum(visits) FILTER (WHERE day = 0 AND minute < 15) AS v15, sum(buyers) FILTER (WHERE day = 0 AND minute < 15) AS b15,
         sum(visits) FILTER (WHERE day = 0) AS v60, sum(buyers) FILTER (WHERE day = 0) AS b60
  FROM counted
), windows AS (
  SELECT unnest(make_array(5, 15, 60)) AS minutes, unnest(make_array(v5, v15, v60)) AS visits,
         unnest(make_array(b5, b15, b60)) AS buyers, of_visits, of_buyers
  FROM summed
), expected AS (
  SELECT *, visits * of_buyers / of_visits AS expected FROM windows
), scored AS (
  SELECT minutes, visits, buyers, expected,
         (buyers - expected) / sqrt(expected + expected * expected * (1.0 / of_buyers + 0.0225)) AS z
  FROM expected WHERE expected >= 20 AND of_buyers > 0
), judged AS (
  SELECT count(*) AS n, min(z) AS worst, first_value(z ORDER BY minutes) AS latest,
         first_value(minutes ORDER BY z) AS minutes, first_value(visits ORDER BY z) AS visits,
         first_value(buyers ORDER BY z) AS buyers, first_value(expected ORDER BY z) AS expected,
         first_value(minutes ORDER BY minutes) AS short_minutes, first_value(visits ORDER BY minutes) AS short_visits,
         first_value(buyers ORDER BY minutes) AS short_buyers, first_value(expected ORDER BY minutes) AS short_expected
  FROM scored
)
SELECT CASE WHEN latest >= -1 THEN short_minutes ELSE minutes END AS minutes,
       CASE WHEN latest >= -1 THEN short_visits ELSE visits END AS visits,
       CASE WHEN latest >= -1 THEN short_buyers ELSE buyers END AS buyers,
       CASE WHEN latest >= -1 THEN short_expected ELSE expected END AS expected,
       CASE WHEN latest >= -1 THEN latest ELSE worst END AS z
FROM judged WHERE n > 0
