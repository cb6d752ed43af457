-- What makes orders what they are: purchases, refunds and cancellations, one row each, with the sum over its lines.
-- An order is known by its order_id; a purchase without one counts by itself (`order_key`). Purchases by bots are left
-- out. A missing `currency` is the shop's. What is stated of the order as a whole stands in each row as it was sent: add
-- up `orders` instead, where it counts once.
SELECT e.event_ts, e.event_type, e.event_id, e.node, e.seq, e.order_id, e.cart_id, e.session_id,
       coalesce(e.order_id, concat('event:', e.event_id)) AS order_key,
       coalesce(e.user_id, e.anonymous_id) AS visitor, e.user_id, e.anonymous_id, e.channel, e.utm_source,
       e.utm_medium, e.utm_campaign, e.country, e.city, e.os,
       CASE WHEN e.mobile THEN 'mobile' WHEN NOT e.mobile THEN 'desktop' END AS device,
       e.coupon, upper(e.currency) AS currency, e.product_id, e.revenue, e.discount, e.tax, e.shipping,
       coalesce(i.units, coalesce(e.quantity, 1)) AS units,
       coalesce(i.lines, CAST(e.price * coalesce(e.quantity, 1) AS DECIMAL(38, 4)), 0) AS lines,
       coalesce(i.discounts, 0) AS line_discounts,
       e.revenue IS NOT NULL OR coalesce(i.priced, 0) > 0 OR e.price IS NOT NULL AS has_amount
FROM (
  SELECT node, seq, sum(coalesce(item['quantity'], 1)) AS units, count(item['price']) AS priced,
         sum(CAST(coalesce(item['price'], 0) * coalesce(item['quantity'], 1) AS DECIMAL(38, 4))) AS lines,
         sum(CAST(coalesce(item['discount'], 0) AS DECIMAL(38, 4))) AS discounts
  FROM (SELECT node, seq, unnest(items) AS item FROM events
        WHERE event_type IN ('purchase', 'refund') AND cardinality(items) > 0)
  GROUP BY node, seq
) AS i
RIGHT JOIN events AS e ON e.node = i.node AND e.seq = i.seq
WHERE e.event_type IN ('purchase', 'refund', 'order_cancelled')
  AND (e.event_type <> 'purchase' OR e.bot IS NOT TRUE)
