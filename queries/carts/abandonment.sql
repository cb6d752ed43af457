-- summary = "Carts left behind"
-- description = """
-- Carts first filled in the period. A cart is closed when the window after its first add is over at the time asked
-- for: it was ordered within the window, or abandoned. Open carts stand apart. abandonment_rate = abandoned / closed.
-- """
-- path = "/carts"
-- cache = "10s"
-- chart = "number"
-- units = { carts = "count", closed = "count", ordered = "count", abandoned = "count", open = "count", abandonment_rate = "ratio" }
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
-- [params.at]
-- type = "timestamp"
-- default = "now"
-- doc = "as it was at this moment"
--
-- [params.window]
-- type = "duration"
-- default = "1d"
-- doc = "how long a cart may take to be ordered"
--
-- [params.by]
-- type = "enum"
-- values = ["all", "channel", "country", "device"]
-- default = "all"
-- doc = "what to group by, as it was at the first add"
WITH filled AS (
  SELECT CASE $by WHEN 'channel' THEN channel WHEN 'country' THEN country WHEN 'device' THEN device ELSE 'all' END AS name, first_add_at + CAST($window AS INTERVAL) <= $at AS closed,
         coalesce(ordered_at <= first_add_at + CAST($window AS INTERVAL) AND ordered_at <= $at, false) AS ordered
  FROM carts(shop_midnight($start), shop_day_end($end))
  WHERE NOT bot AND first_add_at <= $at
)
SELECT name, count(*) AS carts, count(*) FILTER (WHERE closed) AS closed,
       count(*) FILTER (WHERE closed AND ordered) AS ordered,
       count(*) FILTER (WHERE closed AND NOT ordered) AS abandoned,
       count(*) FILTER (WHERE NOT closed) AS open, count(*) FILTER (WHERE NOT closed AND ordered) AS open_ordered,
       CAST(count(*) FILTER (WHERE closed AND NOT ordered) AS DOUBLE) / nullif(count(*) FILTER (WHERE closed), 0) AS abandonment_rate
FROM filled
GROUP BY name
ORDER BY carts DESC, name NULLS LAST
