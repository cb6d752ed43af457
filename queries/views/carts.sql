-- Carts with something put into them: a cart is a cart_id, or the session where the client sends none. It was ordered
-- with the first purchase at or after its first add that names the cart, or that happens in the same session.
--
-- `carts($from, $until)` are those first filled in [from, until). It reads 31 days more on either side: a cart that
-- lies longer than that is a new one there.
SELECT a.cart_key, a.cart_id, a.session_id, a.visitor, a.first_add_at, a.last_add_at, a.adds, a.channel, a.country,
       a.device, a.bot, o.ordered_at
FROM (
  SELECT coalesce(cart_id, concat('session:', session_id)) AS cart_key, max(cart_id) AS cart_id,
         first_value(session_id ORDER BY event_ts, seq) AS session_id,
         first_value(coalesce(user_id, anonymous_id) ORDER BY event_ts, seq) AS visitor,
         first_value(channel ORDER BY event_ts, seq) AS channel,
         first_value(country ORDER BY event_ts, seq) AS country,
         first_value(CASE WHEN mobile THEN 'mobile' WHEN NOT mobile THEN 'desktop' END ORDER BY event_ts, seq) AS device,
         bool_or(coalesce(bot, false)) AS bot,
         min(event_ts) AS first_add_at, max(event_ts) AS last_add_at, count(*) AS adds
  FROM events
  WHERE event_type = 'add_to_cart' AND coalesce(cart_id, session_id) IS NOT NULL
    AND event_ts >= arrow_cast($from, 'Timestamp(Microsecond, Some("UTC"))') - INTERVAL '31 days'
    AND event_ts < arrow_cast($until, 'Timestamp(Microsecond, Some("UTC"))') + INTERVAL '31 days'
  GROUP BY coalesce(cart_id, concat('session:', session_id))
  HAVING min(event_ts) >= $from AND min(event_ts) < $until
) AS a
LEFT JOIN (
  SELECT f.cart_key, min(p.event_ts) AS ordered_at
  FROM (
    SELECT DISTINCT coalesce(cart_id, concat('session:', session_id)) AS cart_key, key,
           min(event_ts) OVER (PARTITION BY coalesce(cart_id, concat('session:', session_id))) AS first_add_at
    FROM (
      SELECT cart_id, session_id, event_ts,
             unnest(make_array(concat('cart:', cart_id), concat('session:', session_id))) AS key
      FROM events
      WHERE event_type = 'add_to_cart' AND coalesce(cart_id, session_id) IS NOT NULL
        AND event_ts >= arrow_cast($from, 'Timestamp(Microsecond, Some("UTC"))') - INTERVAL '31 days'
        AND event_ts < arrow_cast($until, 'Timestamp(Microsecond, Some("UTC"))') + INTERVAL '31 days'
    )
  ) AS f
  JOIN (
    SELECT event_ts, unnest(make_array(concat('cart:', cart_id), concat('session:', session_id))) AS key
    FROM events
    WHERE event_type = 'purchase' AND bot IS NOT TRUE
      AND event_ts >= arrow_cast($from, 'Timestamp(Microsecond, Some("UTC"))') - INTERVAL '31 days'
      AND event_ts < arrow_cast($until, 'Timestamp(Microsecond, Some("UTC"))') + INTERVAL '31 days'
  ) AS p ON f.key = p.key AND p.event_ts >= f.first_add_at AND p.key NOT IN ('cart:', 'session:')
  GROUP BY f.cart_key
) AS o ON a.cart_key = o.cart_key
