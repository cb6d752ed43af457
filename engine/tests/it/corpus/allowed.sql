# Statements that look like those of refused.sql and must be answered. `= any` takes any rows, `= {…}` these. The notation
# is that of refused.sql.

# --- Words that only look like a second statement, a write or a file.
= {"n":1}
SELECT 1 AS n;
;SELECT 1 AS n
SELECT 1 AS n;;;
SELECT 1 AS n -- ; DROP SELECT 1 AS n /* ; DROP TABLE events */
/* /* nested */ ; */ SELECT 1 AS n
-- a comment first⏎SELECT 1 AS n
⇥⏎SELECT⏎1⇥AS⏎n
sElEcT 1 aS n
SELECT 1 AS n WHERE 'DROP TABLE events' LIKE 'DROP%'
SELECT 1 AS n WHERE '; DELETE FROM events; --' <> ''
SELECT 1 AS n WHERE $$it's; fine$$ = 'it''s; fine'
SELECT 1 AS n WHERE E'\'' = ''''
SELECT 1 AS n WHERE 'file:///etc/passwd' LIKE 'file%'
SELECT 1 AS n FROM (VALUES ('/etc/passwd')) AS v (path)
SELECT "drop" AS n FROM (SELECT 1 AS "drop") AS "table"
SELECT x."n" FROM (SELECT 1 AS "n") AS x
WITH "insert" AS (SELECT 1 AS n) SELECT n FROM "insert"
WITH other AS (SELECT 1 AS n) SELECT n FROM other
WITH a AS (SELECT 1 AS n), b AS (SELECT n FROM a) SELECT n FROM b
SELECT 1 AS n UNION SELECT 1
(SELECT 1 AS n)
SELECT n FROM (VALUES (1)) AS t (n)
SELECT CASE WHEN true THEN 1 END AS n
SELECT count(*) AS n FROM (SELECT 1) AS keys
SELECT count(*) AS n FROM events WHERE event_id = 'e0-7'

= {"n":100}
SELECT count(*) AS n FROM events
SELECT count(*) AS n FROM EVENTS
SELECT count(*) AS n FROM public.events
SELECT count(*) AS n FROM tideline.public.events
SELECT count(*) AS n FROM "tideline"."public"."events"
SELECT count(*) AS n FROM events e
SELECT count(*) AS n FROM events WHERE seq IN (⟦1, ×5000⟧2) OR true
SELECT count(*) AS n FROM events WHERE event_id NOT IN (⟦'x', ×3000⟧'y')
SELECT count(*) AS n FROM events WHERE seq > 0⟦ AND seq > 0×100⟧
SELECT count(*) AS n FROM (SELECT DISTINCT event_id FROM events)
SELECT count(*) AS n FROM events a JOIN events b ON a.event_id = b.event_id
SELECT count(*) AS n FROM events WHERE EXISTS (SELECT 1)
SELECT count(*) AS n FROM events WHERE event_id = (SELECT max(event_id) FROM events) OR true

# --- Functions in measure.
= {"x":"ababab"}
SELECT repeat('ab', 3) AS x
= {"x":"007"}
SELECT lpad('7', 3, '0') AS x
= {"x":"a+b"}
SELECT replace('a-b', '-', '+') AS x
SELECT regexp_replace('a-b', '-', '+') AS x
SELECT concat_ws('+', 'a', 'b') AS x
SELECT 'a' || '+' || 'b' AS x
SELECT overlay('a-b' PLACING '+' FROM 2 FOR 1) AS x
SELECT array_to_string(['a', 'b'], '+') AS x
= {"x":[1,2,3]}
SELECT range(1, 4) AS x
SELECT [1, 2, 3] AS x
SELECT make_array(1, 2, 3) AS x
SELECT array_append([1, 2], 3) AS x
SELECT array_concat([1], [2, 3]) AS x
SELECT array_replace_all([1, 9, 3], 9, 2) AS x
= {"x":[1,0,0]}
SELECT array_resize([1], 3, 0) AS x
= {"x":["a","a"]}
SELECT array_repeat('a', 2) AS x
= {"x":1}
SELECT levenshtein('cart', 'card') AS x
SELECT get_field({a: 1, b: 2}, 'a') AS x
SELECT named_struct('a', 1)['a'] AS x
SELECT map_extract(MAP {'a': 1}, 'a')[1] AS x
SELECT count(*) AS x FROM generate_series(1, 1)
= {"x":"2026-03-01"}
SELECT to_char(timestamp '2026-03-01', '%Y-%m-%d') AS x
= {"x":"6162"}
SELECT encode('ab', 'hex') AS x
= {"x":3999}
SELECT array_length(range(0, 3999)) AS x
= {"x":2001}
SELECT cardinality([⟦1, ×2000⟧1]) AS x
= {"x":25}
SELECT count(*) AS x FROM generate_series(timestamp '2026-01-01', timestamp '2026-01-02', interval '1 hour')
= {"x":1000000}
SELECT count(*) AS x FROM generate_series(1, 1000000)

= any
# Filters go down through groups; what they are put into must stay quick to plan.
WITH c0 AS (SELECT seq AS x FROM events), c1 AS (SELECT coalesce(x, 1) AS x FROM c0 GROUP BY 1), c2 AS (SELECT coalesce(x, 2) AS x FROM c1 GROUP BY 1), c3 AS (SELECT coalesce(x, 3) AS x FROM c2 GROUP BY 1), c4 AS (SELECT coalesce(x, 4) AS x FROM c3 GROUP BY 1) SELECT x FROM c4 WHERE x > 3

# --- Looking around.
= any
SHOW TABLES
SHOW COLUMNS FROM events
SHOW FUNCTIONS
DESCRIBE events
DESCRIBE dead_letters
DESCRIBE SELECT 1
EXPLAIN SELECT * FROM events
EXPLAIN ANALYZE SELECT count(*) FROM events
EXPLAIN VERBOSE SELECT 1
SELECT * FROM information_schema.tables
SELECT * FROM information_schema.columns WHERE table_name = 'events'
SELECT * FROM information_schema.routines LIMIT 3
SELECT * FROM information_schema.schemata
SELECT * FROM dead_letters
SELECT * FROM alerts
VALUES (1), (2)
SELECT * FROM sessions LIMIT 1
EXPLAIN SELECT * FROM orders LIMIT 1
SELECT now(), current_date, version()
SELECT page, count(*) FROM events GROUP BY CUBE (page, country, os)
SELECT page, country, count(*) FROM events GROUP BY GROUPING SETS ((page), (country), ())
SELECT row_number() OVER (PARTITION BY page ORDER BY event_ts) FROM events
⟦SELECT count(*) FROM events UNION ALL ×60⟧SELECT 1
SELECT properties->>'a', properties ? 'a' FROM events
SELECT string_agg(event_id, ',') FROM events
SELECT * FROM events ORDER BY event_ts DESC LIMIT 5
