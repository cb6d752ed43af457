-- The lines of orders, each with its share of the order's discount: its own where only lines state discounts, else pro
-- rata by amount. Lines of an order that was sent twice count once.
SELECT l.event_ts, l.product_id, l.product_name, l.category, l.brand, l.price, l.quantity, l.amount AS gross,
       CASE WHEN o.gross = 0 THEN CAST(0 AS DECIMAL(38, 8))
            WHEN o.discount = o.line_discounts THEN CAST(coalesce(l.discount, 0) AS DECIMAL(38, 8))
            ELSE CAST(CAST(o.discount * l.amount AS DECIMAL(38, 8)) / o.gross AS DECIMAL(38, 8)) END AS discount,
       o.order_key, o.order_id, o.ordered_at, o.visitor, o.session_id, o.country, o.channel, o.device, o.cancelled,
       o.foreign_currency, o.first_order
FROM orders AS o
JOIN line_items AS l ON o.order_key = coalesce(l.order_id, concat('event:', l.event_id))
LEFT ANTI JOIN (
  SELECT e.node, e.seq
  FROM order_events AS e
  JOIN (
    SELECT order_key, revenue, lines, coalesce(product_id, '') AS product_id, min(seq) AS first_seq
    FROM order_events
    WHERE event_type = 'purchase' AND revenue IS NOT NULL
    GROUP BY order_key, revenue, lines, coalesce(product_id, '')
    HAVING count(*) > 1
  ) AS s ON e.order_key = s.order_key AND e.revenue = s.revenue AND e.lines = s.lines
    AND coalesce(e.product_id, '') = s.product_id
  WHERE e.event_type = 'purchase' AND e.seq > s.first_seq
) AS again ON l.node = again.node AND l.seq = again.seq
WHERE l.event_type = 'purchase' AND l.bot IS NOT TRUE
