-- One row an order, as it is known today: its purchases, what was refunded of it, whether it was cancelled.
--
-- It happened when its first purchase did, and is of the visitor, session and place of the purchase that came first
-- (`seq`). What its purchases state of the order as a whole (revenue, tax, shipping, discount) counts once, as the first
-- of them states it; their lines add. A purchase that states the order's revenue again over the same lines is the order
-- sent twice: it is counted in `duplicate_orders` and adds nothing. `value` is the revenue, and the lines of purchases
-- that state none. `discount` is what the order states, else the sum over its lines. `refunds` are capped at the value; a
-- refund that names neither amount nor lines is of all that is left, one in another currency of nothing (of an order that is
-- not in the shop's currency: one in the shop's). A cancelled order has no refunds besides: all of it is gone. `ordinal`
-- counts a customer's orders that were not cancelled, in time. `foreign_currency`: not in the shop's currency, so its
-- amounts are in `currency` and must not be added to others.
SELECT order_key, order_id, ordered_at, visitor, user_id, anonymous_id, session_id, cart_id, channel, utm_source,
       utm_medium, utm_campaign, country, city, os, device, coupon, currency, foreign_currency, purchases,
       duplicate_orders, units, gross, discount, line_discounts, tax, shipping, value, cancelled, cancelled_at, refunds,
       refund_events,
       CAST(gross - discount - refunds AS DECIMAL(38, 4)) AS net,
       CAST(gross - discount - refunds + tax + shipping AS DECIMAL(38, 4)) AS total,
       CASE WHEN visitor IS NOT NULL AND NOT cancelled THEN ordinal END AS ordinal,
       visitor IS NOT NULL AND NOT cancelled AND ordinal = 1 AS first_order
FROM (
  SELECT *, currency <> upper(shop_currency()) AS foreign_currency,
         CAST(coalesce(stated_discount, line_discounts) AS DECIMAL(38, 4)) AS discount,
         CASE WHEN cancelled THEN CAST(0 AS DECIMAL(38, 4)) WHEN refunded_whole THEN value
              ELSE CAST(least(claimed + CASE WHEN currency = upper(shop_currency()) THEN claimed_shop ELSE claimed_foreign END,
                              value) AS DECIMAL(38, 4)) END AS refunds,
         row_number() OVER (PARTITION BY visitor, cancelled ORDER BY ordered_at, order_key) AS ordinal
  FROM (
    SELECT order_key, max(order_id) AS order_id,
           min(ordered_at) AS ordered_at,
           first_value(visitor ORDER BY lead) FILTER (WHERE bought AND visitor IS NOT NULL) AS visitor,
           first_value(user_id ORDER BY lead) FILTER (WHERE bought AND user_id IS NOT NULL) AS user_id,
           first_value(anonymous_id ORDER BY lead) FILTER (WHERE bought AND anonymous_id IS NOT NULL) AS anonymous_id,
           first_value(session_id ORDER BY lead) FILTER (WHERE bought AND session_id IS NOT NULL) AS session_id,
           first_value(cart_id ORDER BY lead) FILTER (WHERE bought AND cart_id IS NOT NULL) AS cart_id,
           first_value(channel ORDER BY lead) FILTER (WHERE bought AND channel IS NOT NULL) AS channel,
           first_value(utm_source ORDER BY lead) FILTER (WHERE bought AND utm_source IS NOT NULL) AS utm_source,
           first_value(utm_medium ORDER BY lead) FILTER (WHERE bought AND utm_medium IS NOT NULL) AS utm_medium,
           first_value(utm_campaign ORDER BY lead) FILTER (WHERE bought AND utm_campaign IS NOT NULL) AS utm_campaign,
           first_value(country ORDER BY lead) FILTER (WHERE bought AND country IS NOT NULL) AS country,
           first_value(city ORDER BY lead) FILTER (WHERE bought AND city IS NOT NULL) AS city,
           first_value(os ORDER BY lead) FILTER (WHERE bought AND os IS NOT NULL) AS os,
           first_value(device ORDER BY lead) FILTER (WHERE bought AND device IS NOT NULL) AS device,
           first_value(coupon ORDER BY lead) FILTER (WHERE bought AND coupon IS NOT NULL) AS coupon,
           coalesce(first_value(currency ORDER BY lead) FILTER (WHERE bought AND currency IS NOT NULL),
                    upper(shop_currency())) AS currency,
           sum(events) FILTER (WHERE bought) AS purchases,
           coalesce(sum(events - 1) FILTER (WHERE stated), 0) AS duplicate_orders,
           sum(units) FILTER (WHERE bought) AS units,
           CAST(sum(lines) FILTER (WHERE bought) AS DECIMAL(38, 4)) AS gross,
           CAST(coalesce(first_value(revenue ORDER BY lead) FILTER (WHERE stated), 0)
                + coalesce(sum(lines) FILTER (WHERE bought AND NOT stated), 0) AS DECIMAL(38, 4)) AS value,
           first_value(discount ORDER BY discount_lead) FILTER (WHERE bought AND discount IS NOT NULL) AS stated_discount,
           CAST(sum(line_discounts) FILTER (WHERE bought) AS DECIMAL(38, 4)) AS line_discounts,
           CAST(coalesce(first_value(tax ORDER BY tax_lead) FILTER (WHERE bought AND tax IS NOT NULL), 0)
                AS DECIMAL(38, 4)) AS tax,
           CAST(coalesce(first_value(shipping ORDER BY shipping_lead) FILTER (WHERE bought AND shipping IS NOT NULL), 0)
                AS DECIMAL(38, 4)) AS shipping,
           min(cancelled_at) AS cancelled_at,
           count(cancelled_at) > 0 AS cancelled,
           coalesce(sum(events) FILTER (WHERE event_type = 'refund'), 0) AS refund_events,
           coalesce(sum(whole) FILTER (WHERE event_type = 'refund'), 0) > 0 AS refunded_whole,
           CAST(coalesce(sum(claimed) FILTER (WHERE one_currency IS NULL), 0) AS DECIMAL(38, 4)) AS claimed,
           CAST(coalesce(sum(claimed) FILTER (WHERE one_currency = upper(shop_currency())), 0) AS DECIMAL(38, 4)) AS claimed_shop,
           CAST(coalesce(sum(claimed) FILTER (WHERE one_currency <> upper(shop_currency())), 0) AS DECIMAL(38, 4)) AS claimed_foreign
    FROM (
      -- Purchases that state the same revenue over the same lines become one; all others are summed by kind.
      SELECT order_key, event_type, stated, revenue, one_lines, one_product, one_currency,
             event_type = 'purchase' AS bought,
             min(seq) AS lead, count(*) AS events, max(order_id) AS order_id,
             min(event_ts) FILTER (WHERE event_type = 'purchase') AS ordered_at,
             min(event_ts) FILTER (WHERE event_type = 'order_cancelled') AS cancelled_at,
             first_value(visitor ORDER BY seq) FILTER (WHERE visitor IS NOT NULL) AS visitor,
             first_value(user_id ORDER BY seq) FILTER (WHERE user_id IS NOT NULL) AS user_id,
             first_value(anonymous_id ORDER BY seq) FILTER (WHERE anonymous_id IS NOT NULL) AS anonymous_id,
             first_value(session_id ORDER BY seq) FILTER (WHERE session_id IS NOT NULL) AS session_id,
             first_value(cart_id ORDER BY seq) FILTER (WHERE cart_id IS NOT NULL) AS cart_id,
             first_value(channel ORDER BY seq) FILTER (WHERE channel IS NOT NULL) AS channel,
             first_value(utm_source ORDER BY seq) FILTER (WHERE utm_source IS NOT NULL) AS utm_source,
             first_value(utm_medium ORDER BY seq) FILTER (WHERE utm_medium IS NOT NULL) AS utm_medium,
             first_value(utm_campaign ORDER BY seq) FILTER (WHERE utm_campaign IS NOT NULL) AS utm_campaign,
             first_value(country ORDER BY seq) FILTER (WHERE country IS NOT NULL) AS country,
             first_value(city ORDER BY seq) FILTER (WHERE city IS NOT NULL) AS city,
             first_value(os ORDER BY seq) FILTER (WHERE os IS NOT NULL) AS os,
             first_value(device ORDER BY seq) FILTER (WHERE device IS NOT NULL) AS device,
             first_value(coupon ORDER BY seq) FILTER (WHERE coupon IS NOT NULL) AS coupon,
             first_value(currency ORDER BY seq) FILTER (WHERE currency IS NOT NULL) AS currency,
             CASE WHEN stated THEN first_value(units ORDER BY seq) ELSE sum(units) END AS units,
             CASE WHEN stated THEN first_value(lines ORDER BY seq) ELSE sum(lines) END AS lines,
             CASE WHEN stated THEN first_value(line_discounts ORDER BY seq) ELSE sum(line_discounts) END AS line_discounts,
             first_value(discount ORDER BY seq) FILTER (WHERE discount IS NOT NULL) AS discount,
             min(seq) FILTER (WHERE discount IS NOT NULL) AS discount_lead,
             first_value(tax ORDER BY seq) FILTER (WHERE tax IS NOT NULL) AS tax,
             min(seq) FILTER (WHERE tax IS NOT NULL) AS tax_lead,
             first_value(shipping ORDER BY seq) FILTER (WHERE shipping IS NOT NULL) AS shipping,
             min(seq) FILTER (WHERE shipping IS NOT NULL) AS shipping_lead,
             sum(abs(coalesce(refund, lines))) FILTER (WHERE event_type = 'refund') AS claimed,
             count(*) FILTER (WHERE NOT has_amount) AS whole
      FROM (
        SELECT *, event_type = 'purchase' AND revenue IS NOT NULL AS stated,
               CASE WHEN event_type = 'refund' THEN revenue END AS refund,
               CASE WHEN event_type = 'purchase' AND revenue IS NOT NULL THEN lines END AS one_lines,
               CASE WHEN event_type = 'purchase' AND revenue IS NOT NULL THEN coalesce(product_id, '') END AS one_product,
               CASE WHEN event_type = 'refund' AND has_amount THEN currency END AS one_currency
        FROM (SELECT event_ts, event_type, seq, order_key, order_id, visitor, user_id, anonymous_id, session_id, cart_id,
                     channel, utm_source, utm_medium, utm_campaign, country, city, os, device, coupon, currency,
                     product_id, discount, tax, shipping, units, lines, line_discounts, has_amount,
                     CASE WHEN event_type <> 'order_cancelled' THEN revenue END AS revenue
              FROM order_events)
      )
      GROUP BY order_key, event_type, stated, revenue, one_lines, one_product, one_currency
    )
    GROUP BY order_key
  )
  WHERE purchases > 0
)
