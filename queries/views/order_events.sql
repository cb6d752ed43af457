-- What makes orders what they are: purchases, refunds and cancellations, one row each, with what each adds.
--
-- An order is known by its order_id; a purchase without one counts by itself. What an order states about the whole
-- (revenue, tax, shipping, discount) counts once, from the first event that came with it (`seq`); lines add. A purchase
-- that states the order's revenue again over the same lines is the order sent twice (`repeated`) and adds nothing.
-- Purchases by bots are left out. A missing `currency` is the shop's.
SELECT event_ts, event_type, event_id, node, seq, order_key, order_id, cart_id, session_id, visitor, user_id,
       anonymous_id, channel, utm_source, utm_medium, utm_campaign, country, city, os, device, coupon,
       currency, repeated,
       event_type = 'purchase' AND place = 1 AS leads,
       CASE WHEN repeated THEN 0 ELSE units END AS units,
       CAST(CASE WHEN repeated THEN 0 ELSE lines END AS DECIMAL(38, 4)) AS gross,
       CAST(CASE WHEN revenue IS NULL THEN lines WHEN nth_revenue = 1 OR event_type <> 'purchase' THEN revenue ELSE 0
            END AS DECIMAL(38, 4)) AS value,
       CAST(CASE WHEN discount IS NOT NULL AND nth_discount = 1 THEN discount ELSE 0 END AS DECIMAL(38, 4)) AS discount,
       CAST(CASE WHEN tax IS NOT NULL AND nth_tax = 1 THEN tax ELSE 0 END AS DECIMAL(38, 4)) AS tax,
       CAST(CASE WHEN shipping IS NOT NULL AND nth_shipping = 1 THEN shipping ELSE 0 END AS DECIMAL(38, 4)) AS shipping,
       revenue IS NOT NULL OR priced > 0 AS has_amount,
       discount IS NOT NULL AS states_discount,
       CAST(CASE WHEN repeated THEN 0 ELSE line_discounts END AS DECIMAL(38, 4)) AS line_discounts
FROM (
  SELECT *,
         event_type = 'purchase' AND order_id IS NOT NULL AND revenue IS NOT NULL AND row_number() OVER (
           PARTITION BY order_key, event_type, revenue, lines, units, product_id ORDER BY seq, node) > 1 AS repeated,
         row_number() OVER story AS place,
         count(revenue) OVER story AS nth_revenue,
         count(discount) OVER story AS nth_discount,
         count(tax) OVER story AS nth_tax,
         count(shipping) OVER story AS nth_shipping
  FROM (
    SELECT e.event_ts, e.event_type, e.event_id, e.node, e.seq, e.order_id, e.cart_id, e.session_id,
           coalesce(e.order_id, concat('event:', e.event_id)) AS order_key,
           coalesce(e.user_id, e.anonymous_id) AS visitor, e.user_id, e.anonymous_id, e.channel, e.utm_source,
           e.utm_medium, e.utm_campaign, e.country, e.city, e.os,
           CASE WHEN e.mobile THEN 'mobile' WHEN NOT e.mobile THEN 'desktop' END AS device,
           e.coupon, upper(e.currency) AS currency, e.product_id,
           e.revenue, e.discount, e.tax, e.shipping,
           coalesce(i.units, coalesce(e.quantity, 1)) AS units,
           coalesce(i.lines, CAST(e.price * coalesce(e.quantity, 1) AS DECIMAL(38, 4)), 0) AS lines,
           coalesce(i.priced, CASE WHEN e.price IS NULL THEN 0 ELSE 1 END) AS priced,
           coalesce(i.discounts, 0) AS line_discounts
    FROM events AS e
    LEFT JOIN (
      SELECT node, seq, sum(coalesce(item['quantity'], 1)) AS units, count(item['price']) AS priced,
             sum(CAST(coalesce(item['price'], 0) * coalesce(item['quantity'], 1) AS DECIMAL(38, 4))) AS lines,
             sum(CAST(coalesce(item['discount'], 0) AS DECIMAL(38, 4))) AS discounts
      FROM (SELECT node, seq, unnest(items) AS item FROM events
            WHERE event_type IN ('purchase', 'refund') AND cardinality(items) > 0)
      GROUP BY node, seq
    ) AS i ON e.node = i.node AND e.seq = i.seq
    WHERE e.event_type IN ('purchase', 'refund', 'order_cancelled')
      AND (e.event_type <> 'purchase' OR e.bot IS NOT TRUE)
  )
  WINDOW story AS (PARTITION BY order_key, event_type ORDER BY seq, node ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
