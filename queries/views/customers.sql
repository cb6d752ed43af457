-- One row a customer: who has an order that was not cancelled. The cohort is the shop's local week (its Monday) and
-- month of the first order. Orders count in any currency, money only in the shop's.
SELECT visitor, max(user_id) AS user_id,
       min(ordered_at) AS first_order_at, max(ordered_at) AS last_order_at, count(*) AS orders,
       CAST(date_trunc('week', shop_day(min(ordered_at))) AS DATE) AS cohort_week,
       CAST(date_trunc('month', shop_day(min(ordered_at))) AS DATE) AS cohort_month,
       CAST(coalesce(sum(value) FILTER (WHERE NOT foreign_currency), 0) AS DECIMAL(38, 4)) AS order_value,
       CAST(coalesce(sum(gross) FILTER (WHERE NOT foreign_currency), 0) AS DECIMAL(38, 4)) AS gross,
       CAST(coalesce(sum(refunds) FILTER (WHERE NOT foreign_currency), 0) AS DECIMAL(38, 4)) AS refunds,
       CAST(coalesce(sum(net) FILTER (WHERE NOT foreign_currency), 0) AS DECIMAL(38, 4)) AS net
FROM orders
WHERE NOT cancelled AND visitor IS NOT NULL
GROUP BY visitor
