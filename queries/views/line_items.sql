-- The lines of carts and orders: one row for each item; an event without items is its own line.
-- A missing quantity is one unit.
SELECT e.event_ts, e.event_type, e.event_id, e.node, e.seq, e.order_id, e.cart_id, e.session_id,
       coalesce(e.user_id, e.anonymous_id) AS visitor, e.bot, e.currency, e.country, e.channel,
       e.utm_source, e.utm_medium, e.utm_campaign, e.os, e.mobile,
       CASE WHEN e.line IS NULL THEN e.product_id ELSE e.line['product_id'] END AS product_id,
       CASE WHEN e.line IS NULL THEN e.product_name ELSE e.line['name'] END AS product_name,
       CASE WHEN e.line IS NULL THEN e.category ELSE e.line['category'] END AS category,
       CASE WHEN e.line IS NULL THEN e.brand ELSE e.line['brand'] END AS brand,
       CASE WHEN e.line IS NULL THEN e.price ELSE e.line['price'] END AS price,
       coalesce(CASE WHEN e.line IS NULL THEN e.quantity ELSE e.line['quantity'] END, 1) AS quantity,
       CASE WHEN e.line IS NULL THEN e.discount ELSE e.line['discount'] END AS discount,
       CAST(coalesce(CASE WHEN e.line IS NULL THEN e.price ELSE e.line['price'] END, 0)
            * coalesce(CASE WHEN e.line IS NULL THEN e.quantity ELSE e.line['quantity'] END, 1)
            AS DECIMAL(38, 4)) AS amount
FROM (SELECT events.*, unnest(CASE WHEN cardinality(items) > 0 THEN items ELSE make_array(NULL) END) AS line
      FROM events) AS e
