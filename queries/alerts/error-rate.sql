-- summary = "Events that are not accepted"
-- description = """
-- Of what was received in the last five minutes, what was not accepted. Not judged below 50 events.
-- """
-- chart = "number"
-- units = { rejected = "count", received = "count", percent = "percent" }
--
-- [params.at]
-- type = "timestamp"
-- default = "now"
-- doc = "as it was at this moment"
--
-- [alert]
-- value = "percent"
-- open = "> 5"
-- close = "< 2"
-- every = "1m"
-- message = "{percent} % of events are not accepted: {rejected} of {received} in five minutes"
SELECT rejected, accepted + rejected AS received,
       CASE WHEN accepted + rejected >= 50 THEN 100.0 * rejected / (accepted + rejected) END AS percent
FROM (
  SELECT count(*) AS rejected FROM dead_letters WHERE received_at > $at - INTERVAL '5 minutes' AND received_at <= $at
) CROSS JOIN (
  SELECT count(*) AS accepted FROM events WHERE received_at > $at - INTERVAL '5 minutes' AND received_at <= $at
)
