-- summary = "Sales as they were booked, by day and kind of entry"
-- description = """
-- Nothing is restated: an order is booked on its day also when it was cancelled later, a cancellation takes all of it
-- back on the day it was made, a refund stands on its own day. An order cancelled later books no refunds: the
-- cancellation takes back all that it was.
-- """
-- cache = "10s"
-- chart = "table"
-- units = { day = "date", entries = "count", gross = "money", discounts = "money", refunds = "money", net = "money", shipping = "money", tax = "money", total = "money" }
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
WITH entries AS (
  SELECT ordered_at AS booked_at, 'order' AS entry, gross, discount AS discounts, CAST(0 AS DECIMAL(38, 4)) AS refunds,
         shipping, tax
  FROM orders WHERE NOT foreign_currency
  UNION ALL
  SELECT greatest(cancelled_at, ordered_at), 'cancellation', -gross, -discount, CAST(0 AS DECIMAL(38, 4)), -shipping, -tax
  FROM orders WHERE NOT foreign_currency AND cancelled
  UNION ALL
  SELECT event_ts, 'refund', CAST(0 AS DECIMAL(38, 4)), CAST(0 AS DECIMAL(38, 4)), refund, CAST(0 AS DECIMAL(38, 4)),
         CAST(0 AS DECIMAL(38, 4))
  FROM refunds WHERE NOT foreign_currency
)
SELECT shop_day(booked_at) AS day, entry, count(*) AS entries, sum(gross) AS gross, sum(discounts) AS discounts,
       sum(refunds) AS refunds, sum(gross) - sum(discounts) - sum(refunds) AS net, sum(shipping) AS shipping,
       sum(tax) AS tax, sum(gross) - sum(discounts) - sum(refunds) + sum(shipping) + sum(tax) AS total
FROM entries
WHERE booked_at >= shop_midnight($start) AND booked_at < shop_day_end($end)
GROUP BY shop_day(booked_at), entry
ORDER BY day, entry
