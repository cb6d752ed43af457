-- summary = "Sales by channel, campaign, country, device or kind of customer"
-- description = """
-- Orders by what their session was at its start; an order without a session by what its purchase said itself. Refunds
-- are those of these orders, whenever they were made. customer: new for somebody's first order, returning for a later
-- one, unknown without a customer. Sessions are those that began in the period, by the same value.
-- """
-- cache = "10s"
-- chart = "bars"
-- units = { gross = "money", discounts = "money", refunds = "money", net = "money", total = "money", order_value = "money", aov = "money", orders = "count", units = "count", buyers = "count", sessions = "count" }
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
-- [params.by]
-- type = "enum"
-- values = ["channel", "source", "medium", "campaign", "country", "city", "device", "os", "customer"]
-- default = "channel"
-- doc = "what to group by"
WITH visits AS (
  SELECT session_id, started_at,
         CASE $by WHEN 'channel' THEN channel WHEN 'source' THEN utm_source WHEN 'medium' THEN utm_medium
                  WHEN 'campaign' THEN utm_campaign WHEN 'country' THEN country WHEN 'city' THEN city
                  WHEN 'device' THEN device WHEN 'os' THEN os END AS name
  FROM sessions(shop_midnight($start) - INTERVAL '1 day', shop_day_end($end))
  WHERE NOT bot
), sold AS (
  SELECT CASE WHEN $by = 'customer'
              THEN CASE WHEN o.visitor IS NULL THEN 'unknown' WHEN o.first_order THEN 'new' ELSE 'returning' END
              WHEN v.session_id IS NOT NULL THEN v.name
              ELSE CASE $by WHEN 'channel' THEN o.channel WHEN 'source' THEN o.utm_source WHEN 'medium' THEN o.utm_medium
                            WHEN 'campaign' THEN o.utm_campaign WHEN 'country' THEN o.country WHEN 'city' THEN o.city
                            WHEN 'device' THEN o.device WHEN 'os' THEN o.os END END AS name,
         o.visitor, o.gross, o.discount, o.refunds, o.shipping, o.tax, o.value, o.units
  FROM orders AS o LEFT JOIN visits AS v ON o.session_id = v.session_id
  WHERE o.ordered_at >= shop_midnight($start) AND o.ordered_at < shop_day_end($end)
    AND NOT o.cancelled AND NOT o.foreign_currency
), summed AS (
  SELECT name, count(*) AS orders, sum(gross) AS gross, sum(discount) AS discounts, sum(refunds) AS refunds,
         sum(shipping) AS shipping, sum(tax) AS tax, sum(value) AS order_value, sum(units) AS units,
         count(DISTINCT visitor) AS buyers
  FROM sold GROUP BY name
), visited AS (
  SELECT name, count(*) AS sessions FROM visits
  WHERE started_at >= shop_midnight($start) AND $by <> 'customer' GROUP BY name
)
SELECT coalesce(s.name, v.name) AS name, coalesce(orders, 0) AS orders,
       CAST(coalesce(gross, 0) AS DECIMAL(38, 4)) AS gross, CAST(coalesce(discounts, 0) AS DECIMAL(38, 4)) AS discounts,
       CAST(coalesce(refunds, 0) AS DECIMAL(38, 4)) AS refunds,
       CAST(coalesce(gross - discounts - refunds, 0) AS DECIMAL(38, 4)) AS net,
       CAST(coalesce(gross - discounts - refunds + shipping + tax, 0) AS DECIMAL(38, 4)) AS total,
       CAST(coalesce(order_value, 0) AS DECIMAL(38, 4)) AS order_value,
       CAST(CAST(order_value AS DECIMAL(38, 8)) / nullif(orders, 0) AS DECIMAL(38, 4)) AS aov,
       coalesce(units, 0) AS units, coalesce(buyers, 0) AS buyers, coalesce(sessions, 0) AS sessions
FROM summed AS s FULL JOIN visited AS v ON s.name IS NOT DISTINCT FROM v.name
ORDER BY gross DESC, sessions DESC, name NULLS LAST
