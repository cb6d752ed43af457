-- Refunds, each at its own time, with what it counts for: `refund` is its amount, but over an order's refunds in time
-- never more than the order's value, and nothing where the order was cancelled (`in_cancellation`). Where the order is
-- not known (`order_known`), the amount is taken as it is; refunds of what only bots bought are none. Who and where from:
-- the refund's own words, else the order's; so is the currency, but a refund that names no amount is in the order's. Money
-- in another currency than the order's takes nothing of it, and counts for nothing (`foreign_currency`, as where the
-- order's is not the shop's).
SELECT event_ts, event_id, node, seq, order_key, order_id, order_known, ordered_at, visitor, session_id, country,
       channel, currency, foreign_order OR currency <> upper(shop_currency()) AS foreign_currency, in_cancellation, claimed,
       CAST(CASE WHEN in_cancellation OR NOT of_order THEN 0 WHEN NOT order_known THEN claimed
            ELSE least(claimed_until, value) - least(claimed_until - claimed, value) END AS DECIMAL(38, 4)) AS refund
FROM (
  SELECT *, sum(CASE WHEN of_order THEN claimed ELSE 0 END)
              OVER (PARTITION BY order_key ORDER BY event_ts, seq
                    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS claimed_until
  FROM (
    SELECT r.event_ts, r.event_id, r.node, r.seq, r.order_key, r.order_id, o.order_key IS NOT NULL AS order_known,
           o.ordered_at, coalesce(o.cancelled, false) AS in_cancellation, o.value,
           coalesce(r.visitor, o.visitor) AS visitor, coalesce(r.session_id, o.session_id) AS session_id,
           coalesce(r.country, o.country) AS country, coalesce(r.channel, o.channel) AS channel,
           upper(coalesce(CASE WHEN r.has_amount THEN r.currency END, o.currency, shop_currency())) AS currency,
           coalesce(o.foreign_currency, false) AS foreign_order,
           o.order_key IS NULL OR NOT r.has_amount OR coalesce(r.currency, o.currency) = o.currency AS of_order,
           CAST(CASE WHEN r.has_amount THEN abs(coalesce(r.revenue, r.lines)) ELSE coalesce(o.value, 0) END
                AS DECIMAL(38, 4)) AS claimed
    FROM order_events AS r
    LEFT JOIN orders AS o ON r.order_key = o.order_key
    LEFT JOIN (
      SELECT DISTINCT order_id FROM events WHERE event_type = 'purchase' AND bot AND order_id IS NOT NULL
    ) AS b ON r.order_id = b.order_id
    WHERE r.event_type = 'refund' AND (o.order_key IS NOT NULL OR b.order_id IS NULL)
  )
)
