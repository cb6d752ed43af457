-- One row an order, as it is known today: its purchases, what was refunded of it, whether it was cancelled.
--
-- It happened when its first purchase did, and is of the visitor, session and place of the purchase that came first.
-- `discount` is what the order states, else the sum over its lines. `refunds` are capped at the order's value; a refund
-- that names neither amount nor lines is of all that is left. A cancelled order has no refunds besides: all of it is
-- gone. `ordinal` counts a customer's orders that were not cancelled, in time. `foreign_currency`: not in the shop's
-- currency, so its amounts are in `currency` and must not be added to others.
SELECT order_key, order_id, ordered_at, visitor, user_id, anonymous_id, session_id, cart_id, channel, utm_source,
       utm_medium, utm_campaign, country, city, os, device, coupon, currency, foreign_currency, purchases,
       duplicate_orders, units, gross, discount, tax, shipping, value, cancelled, cancelled_at, refunds, refund_events,
       gross - discount - refunds AS net,
       gross - discount - refunds + tax + shipping AS total,
       CASE WHEN visitor IS NOT NULL AND NOT cancelled THEN ordinal END AS ordinal,
       visitor IS NOT NULL AND NOT cancelled AND ordinal = 1 AS first_order
FROM (
  SELECT *, currency <> upper(shop_currency()) AS foreign_currency,
         CASE WHEN cancelled THEN CAST(0 AS DECIMAL(38, 4)) WHEN refunded_whole THEN value
              ELSE CAST(least(claimed, value) AS DECIMAL(38, 4)) END AS refunds,
         row_number() OVER (PARTITION BY visitor, cancelled ORDER BY ordered_at, order_key) AS ordinal
  FROM (
    SELECT order_key, max(order_id) AS order_id,
           min(event_ts) FILTER (WHERE event_type = 'purchase') AS ordered_at,
           max(visitor) FILTER (WHERE leads) AS visitor,
           max(user_id) FILTER (WHERE leads) AS user_id,
           max(anonymous_id) FILTER (WHERE leads) AS anonymous_id,
           max(session_id) FILTER (WHERE leads) AS session_id,
           max(cart_id) FILTER (WHERE leads) AS cart_id,
           max(channel) FILTER (WHERE leads) AS channel,
           max(utm_source) FILTER (WHERE leads) AS utm_source,
           max(utm_medium) FILTER (WHERE leads) AS utm_medium,
           max(utm_campaign) FILTER (WHERE leads) AS utm_campaign,
           max(country) FILTER (WHERE leads) AS country,
           max(city) FILTER (WHERE leads) AS city,
           max(os) FILTER (WHERE leads) AS os,
           max(device) FILTER (WHERE leads) AS device,
           max(coupon) FILTER (WHERE event_type = 'purchase') AS coupon,
           upper(coalesce(max(currency) FILTER (WHERE leads), shop_currency())) AS currency,
           count(*) FILTER (WHERE event_type = 'purchase') AS purchases,
           count(*) FILTER (WHERE repeated) AS duplicate_orders,
           sum(units) FILTER (WHERE event_type = 'purchase') AS units,
           CAST(sum(gross) FILTER (WHERE event_type = 'purchase') AS DECIMAL(38, 4)) AS gross,
           CAST(CASE WHEN count(*) FILTER (WHERE event_type = 'purchase' AND states_discount) > 0
                THEN sum(discount) FILTER (WHERE event_type = 'purchase')
                ELSE sum(line_discounts) FILTER (WHERE event_type = 'purchase') END AS DECIMAL(38, 4)) AS discount,
           CAST(sum(tax) FILTER (WHERE event_type = 'purchase') AS DECIMAL(38, 4)) AS tax,
           CAST(sum(shipping) FILTER (WHERE event_type = 'purchase') AS DECIMAL(38, 4)) AS shipping,
           CAST(sum(value) FILTER (WHERE event_type = 'purchase') AS DECIMAL(38, 4)) AS value,
           min(event_ts) FILTER (WHERE event_type = 'order_cancelled') AS cancelled_at,
           count(*) FILTER (WHERE event_type = 'order_cancelled') > 0 AS cancelled,
           count(*) FILTER (WHERE event_type = 'refund') AS refund_events,
           count(*) FILTER (WHERE event_type = 'refund' AND NOT has_amount) > 0 AS refunded_whole,
           CAST(coalesce(sum(abs(value)) FILTER (WHERE event_type = 'refund'), 0) AS DECIMAL(38, 4)) AS claimed
    FROM order_events
    GROUP BY order_key
  )
  WHERE purchases > 0
)
