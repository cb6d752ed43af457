-- Refunds, each at its own time, with what it counts for: `refund` is its amount, but over an order's refunds in time
-- never more than the order's value, and nothing where the order was cancelled (`in_cancellation`). Where the order is
-- not known (`order_known`), the amount is taken as it is. Who and where from: the refund's own words, else the order's.
SELECT event_ts, event_id, node, seq, order_key, order_id, order_known, ordered_at, visitor, session_id, country,
       channel, currency, currency <> upper(shop_currency()) AS foreign_currency, in_cancellation, claimed,
       CAST(CASE WHEN in_cancellation THEN 0 WHEN NOT order_known THEN claimed
            ELSE least(claimed_until, value) - least(claimed_until - claimed, value) END AS DECIMAL(38, 4)) AS refund
FROM (
  SELECT *, sum(claimed) OVER (PARTITION BY order_key ORDER BY event_ts, seq
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS claimed_until
  FROM (
    SELECT r.event_ts, r.event_id, r.node, r.seq, r.order_key, r.order_id, o.order_key IS NOT NULL AS order_known,
           o.ordered_at, coalesce(o.cancelled, false) AS in_cancellation, o.value,
           coalesce(r.visitor, o.visitor) AS visitor, coalesce(r.session_id, o.session_id) AS session_id,
           coalesce(r.country, o.country) AS country, coalesce(r.channel, o.channel) AS channel,
           upper(coalesce(r.currency, o.currency, shop_currency())) AS currency,
           CAST(CASE WHEN r.has_amount THEN abs(coalesce(r.revenue, r.lines)) ELSE coalesce(o.value, 0) END
                AS DECIMAL(38, 4)) AS claimed
    FROM order_events AS r
    LEFT JOIN orders AS o ON r.order_key = o.order_key
    WHERE r.event_type = 'refund'
  )
)
