-- Visits, by the session_id the client sends. What a session is "from" (channel, source, country, device …) is what it
-- was at its start: the first value known. Events of bots make a row of their own (`bot`), to be left out or counted.
--
-- `sessions($from, $until)` are those that began in [from, until). It reads a day more on either side, so a session_id
-- that comes back after more than a day of silence is a new visit there.
SELECT *,
       (CAST(ended_at AS BIGINT) - CAST(started_at AS BIGINT)) / 1000 AS duration_ms,
       coalesce(user_id, anonymous_id) AS visitor,
       page_views = 1 AND actions = 1 AS bounced,
       purchases > 0 AS converted,
       checkout_steps > 0 AS checkout_started
FROM (
  SELECT session_id, bot,
         min(event_ts) AS started_at,
         max(event_ts) AS ended_at,
         count(*) AS events,
         count(*) FILTER (WHERE event_type NOT IN ('identify', 'alias', 'group')) AS actions,
         count(*) FILTER (WHERE event_type = 'page_view') AS page_views,
         count(*) FILTER (WHERE event_type = 'product_view') AS product_views,
         count(*) FILTER (WHERE event_type = 'product_list_view') AS product_list_views,
         count(*) FILTER (WHERE event_type = 'search') AS searches,
         count(*) FILTER (WHERE event_type = 'add_to_cart') AS add_to_carts,
         count(*) FILTER (WHERE event_type = 'remove_from_cart') AS remove_from_carts,
         count(*) FILTER (WHERE event_type IN ('checkout_start', 'checkout_step')) AS checkout_steps,
         count(*) FILTER (WHERE event_type = 'purchase') AS purchases,
         max(event_ts) FILTER (WHERE event_type = 'add_to_cart') AS last_add_at,
         max(event_ts) FILTER (WHERE event_type = 'purchase') AS last_purchase_at,
         first_value(page ORDER BY event_ts, seq) FILTER (WHERE page IS NOT NULL) AS entry_page,
         last_value(page ORDER BY event_ts, seq) FILTER (WHERE page IS NOT NULL) AS exit_page,
         first_value(user_id ORDER BY event_ts, seq) FILTER (WHERE user_id IS NOT NULL) AS user_id,
         first_value(anonymous_id ORDER BY event_ts, seq) FILTER (WHERE anonymous_id IS NOT NULL) AS anonymous_id,
         first_value(channel ORDER BY event_ts, seq) FILTER (WHERE channel IS NOT NULL) AS channel,
         first_value(utm_source ORDER BY event_ts, seq) FILTER (WHERE utm_source IS NOT NULL) AS utm_source,
         first_value(utm_medium ORDER BY event_ts, seq) FILTER (WHERE utm_medium IS NOT NULL) AS utm_medium,
         first_value(utm_campaign ORDER BY event_ts, seq) FILTER (WHERE utm_campaign IS NOT NULL) AS utm_campaign,
         first_value(country ORDER BY event_ts, seq) FILTER (WHERE country IS NOT NULL) AS country,
         first_value(city ORDER BY event_ts, seq) FILTER (WHERE city IS NOT NULL) AS city,
         first_value(os ORDER BY event_ts, seq) FILTER (WHERE os IS NOT NULL) AS os,
         first_value(CASE WHEN mobile THEN 'mobile' ELSE 'desktop' END ORDER BY event_ts, seq)
           FILTER (WHERE mobile IS NOT NULL) AS device
  FROM (
    SELECT event_ts, seq, event_type, session_id, user_id, anonymous_id, page, channel, utm_source, utm_medium,
           utm_campaign, country, city, os, mobile, coalesce(bot, false) AS bot
    FROM events
    WHERE session_id IS NOT NULL
      AND event_ts >= arrow_cast($from, 'Timestamp(Microsecond, Some("UTC"))') - INTERVAL '1 day'
      AND event_ts < arrow_cast($until, 'Timestamp(Microsecond, Some("UTC"))') + INTERVAL '1 day'
  )
  GROUP BY session_id, bot
  HAVING min(event_ts) >= $from AND min(event_ts) < $until
)
