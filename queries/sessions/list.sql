-- summary = "Sessions one by one"
-- description = """
-- Sessions that began in the period, newest first, with what was done in them. orders and revenue are of the orders
-- first bought in the session, in the shop's currency; an order in another currency counts in foreign_orders.
-- cart_abandoned: what was put into the cart last was not followed by a purchase; checkout_succeeded: bought, where
-- checkout was started. Both are null where there was no cart or no checkout.
-- """
-- cache = "10s"
-- chart = "table"
-- units = { duration_ms = "milliseconds", revenue = "money" }
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
-- [params.country]
-- type = "string"
-- optional = true
-- doc = "only sessions that began there"
--
-- [params.channel]
-- type = "string"
-- optional = true
-- doc = "only sessions of this channel"
--
-- [params.source]
-- type = "string"
-- optional = true
-- doc = "only sessions of this utm_source"
--
-- [params.device]
-- type = "enum"
-- values = ["mobile", "desktop"]
-- optional = true
-- doc = "only on phones and tablets, or only on others"
--
-- [params.user_id]
-- type = "string"
-- optional = true
-- doc = "only this user: a user_id, or an anonymous_id"
--
-- [params.limit]
-- type = "integer"
-- default = 100
-- min = 1
-- max = 10000
-- doc = "how many rows"
WITH visits AS (
  SELECT * FROM sessions(shop_midnight($start), shop_day_end($end))
  WHERE NOT bot AND ($country IS NULL OR country = $country) AND ($channel IS NULL OR channel = $channel)
    AND ($source IS NULL OR utm_source = $source) AND ($device IS NULL OR device = $device)
    AND ($user_id IS NULL OR user_id = $user_id OR anonymous_id = $user_id)
), bought AS (
  SELECT session_id, count(*) FILTER (WHERE NOT foreign_currency) AS orders,
         count(*) FILTER (WHERE foreign_currency) AS foreign_orders,
         sum(value) FILTER (WHERE NOT foreign_currency) AS revenue
  FROM orders
  WHERE session_id IS NOT NULL AND NOT cancelled
  GROUP BY session_id
)
SELECT v.session_id, v.visitor, v.started_at, v.ended_at, v.duration_ms, v.events, v.page_views, v.product_views,
       v.product_list_views, v.add_to_carts, v.remove_from_carts, v.checkout_steps, v.purchases, v.entry_page, v.exit_page,
       v.channel, v.utm_source, v.utm_campaign, v.country, v.device, v.bounced, v.converted,
       CASE WHEN v.add_to_carts > 0 THEN coalesce(v.last_purchase_at < v.last_add_at, true) END AS cart_abandoned,
       CASE WHEN v.checkout_started THEN v.converted END AS checkout_succeeded,
       coalesce(b.orders, 0) AS orders, coalesce(b.foreign_orders, 0) AS foreign_orders,
       CAST(coalesce(b.revenue, 0) AS DECIMAL(38, 4)) AS revenue
FROM visits AS v LEFT JOIN bought AS b ON v.session_id = b.session_id
ORDER BY started_at DESC, session_id
LIMIT $limit
