// How the server is: what comes in, what is refused, what is kept where, and what its dependencies say.
import { type Dependency, type Health, type ListedQuery, type QueryList, type SqlAnswer, type Tick, get, send, withQuery } from "../lib/api";
import { BarList } from "../charts/BarList";
import { Chart } from "../charts/Chart";
import { Spark } from "../charts/Spark";
import { useApp } from "../context";
import * as f from "../lib/format";
import { useAsk } from "../lib/hooks";
import { Card, Empty, Link, Trouble, Waiting, sentence } from "../ui/parts";
import { parse } from "./prometheus";

const EVERY_MS = 5_000;
const SQL_EVERY_MS = 15_000;

function useSql(sql: string) {
  return useAsk(sql, async (signal) => {
    const answer = await send("/sql", { method: "POST", headers: { "content-type": "application/sql", accept: "application/json" }, body: sql, signal });
    return (await answer.json()) as SqlAnswer;
  }, SQL_EVERY_MS);
}

/** A server that is not well still says how it is: 503 with the same body. */
async function health(signal: AbortSignal): Promise<Health> {
  const response = await fetch("/health", { signal });
  return (await response.json()) as Health;
}

export default function OperationsPage({ tick }: { tick: Tick | null }) {
  const asked = useAsk("health", health, EVERY_MS);
  const gauges = useAsk("metrics", async (signal) => parse(await (await send("/metrics", { headers: { accept: "text/plain" }, signal })).text()), EVERY_MS);
  const state = asked.data;
  const engine = state?.engine;
  if (asked.error && !state) return <Trouble problem={asked.error} again={asked.again} />;
  const gauge = (name: string, labels: Record<string, string> = {}) => {
    const found = gauges.data?.get(name)?.filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value));
    return found?.length ? found.reduce((sum, sample) => sum + sample.value, 0) : undefined;
  };
  const counted = (name: string, labels?: Record<string, string>) => {
    const value = gauge(name, labels);
    return value === undefined ? f.NONE : f.count(value);
  };
  return (
    <div className="ops">
      <h1 className="sr-only">Operations</h1>
      <div className="tiles ops-tiles">
        <div className="tile-group">
          <p className="tile-caption">Server <span className="faint">{state ? `version ${state.version}` : ""}</span></p>
          <div className="tile-row">
            <Figure label="Status" value={state && <State status={state.status} />} />
            <Figure label="Listeners" value={f.count(gauge("tideline_live_listeners") ?? 0)} />
          </div>
        </div>
        <div className="tile-group wide">
          <p className="tile-caption">Coming in <span className="faint">now</span></p>
          <div className="tile-row">
            <Figure label="Events a second" value={tick && f.decimal(tick.rates.events_per_second, 1)} />
            <Figure label="Stored in all" value={engine && f.count(engine.seq)} />
            <Figure label="Refused, open" value={engine && f.count(engine.dead_letters.open)} />
            <Figure label="Queries running" value={engine && f.count(engine.queries)} />
          </div>
        </div>
      </div>
      <div className="grid wide-left">
        <ArrivalCard tick={tick} />
        <Dependencies state={state} />
      </div>
      <div className="grid three">
        <Storage engine={engine} />
        <Rejected />
        <LakeByDay />
      </div>
      <SlowQueries />
      <Card title="Queries and lake">
        <dl className="facts">
          <div><dt>Queries running, of all clients</dt><dd>{f.count(gauge("tideline_queries") ?? engine?.queries ?? 0)}</dd></div>
          <div><dt>Queries so far</dt><dd>{counted("tideline_queries_total")}</dd></div>
          <div><dt>Of them out of time, failed</dt><dd>{counted("tideline_queries_total", { outcome: "timeout" })}, {counted("tideline_queries_total", { outcome: "failed" })}</dd></div>
          <div><dt>Memory of queries</dt><dd>{f.bytes(gauge("tideline_query_memory_bytes") ?? 0)}</dd></div>
          <div><dt>Merges, files they replaced</dt><dd>{counted("tideline_compactions_total", { outcome: "ok" })}, {counted("tideline_compaction_files_total")}</dd></div>
          <div><dt>Lake version</dt><dd>{engine ? f.count(engine.lake_version) : f.NONE}</dd></div>
          <div><dt>In the log, not yet in the lake</dt><dd>{engine ? f.count(engine.seq - engine.lake_seq) : f.NONE} events</dd></div>
          <div><dt>Clock moved since the start</dt><dd>{engine ? f.milliseconds(engine.clock_step_ms) : f.NONE}</dd></div>
          <div><dt>Node</dt><dd className="mono">{engine?.node ?? f.NONE}</dd></div>
        </dl>
        <p className="note">Counts are since the server started. <code>GET /metrics</code> has these and all others, for Prometheus.</p>
      </Card>
    </div>
  );
}

function Figure({ label, value }: { label: string; value: React.ReactNode }) {
  return (
    <div className="tile">
      <p className="tile-label">{label}</p>
      {value === null || value === undefined ? <span className="bone large" /> : <p className="tile-value">{value}</p>}
    </div>
  );
}

const STATUS_WORDS: Record<string, string> = { ok: "Well", degraded: "Degraded", failed: "Failed", stopping: "Stopping", filling: "Filling" };

function State({ status }: { status: string }) {
  return <span className={`state ${status}`}><i aria-hidden="true" />{STATUS_WORDS[status] ?? f.heading(status)}</span>;
}

function ArrivalCard({ tick }: { tick: Tick | null }) {
  const { place } = useApp();
  const minutes = useSql(
    "SELECT date_trunc('minute', received_at) AS minute, count(*) AS events FROM events WHERE received_at > now() - INTERVAL '1 hour' AND event_ts > now() - INTERVAL '7 days' GROUP BY 1 ORDER BY 1",
  );
  const rows = minutes.data?.data ?? [];
  return (
    <Card title="Ingest" note="events by the minute they arrived, last hour" busy={minutes.busy}>
      {minutes.error ? <Trouble problem={minutes.error} again={minutes.again} /> : !minutes.data ? <Waiting rows={5} /> : rows.length === 0 ? (
        <Empty hint="POST /events takes JSON, NDJSON and Arrow.">Nothing arrived in the last hour</Empty>
      ) : (
        <Chart times={rows.map((row) => Date.parse(String(row["minute"])))} zone={place.zone} height={210}
          lines={[{ label: "Events", values: rows.map((row) => f.toNumber(row["events"])), kind: "bars", colour: "accent" }]}
          format={f.count} axis={f.compact} label="Events by the minute they arrived" />
      )}
      {tick && <><p className="note">the last {tick.rates.arrivals.length} seconds</p><Spark values={tick.rates.arrivals} label="Events that arrived in each of the last seconds" /></>}
    </Card>
  );
}

const NAMES: Record<string, string> = {
  wal: "Write-ahead log", lake: "Lake", dead_letters: "Refused events", rate_limits: "Rate limits", windows: "Live windows", redis: "Redis",
};

function Dependencies({ state }: { state: Health | null }) {
  if (!state) return <Card title="Dependencies"><Waiting rows={5} /></Card>;
  const known = Object.entries(state.dependencies).filter((entry): entry is [string, Dependency] => entry[1] !== undefined);
  return (
    <Card title="Dependencies">
      <ul className="states">
        {known.map(([name, dependency]) => (
          <li key={name}>
            <span className={`state ${dependency.status}`}><i aria-hidden="true" /><b>{NAMES[name] ?? name}</b> <span className="faint">{dependency.status}</span></span>
            {dependency.message && <span className="note">{sentence(dependency.message)}</span>}
            {name === "redis" && <span className="note">{dependency.state}, {f.count(dependency.lag ?? 0)} events behind, rebuilt {dependency.rebuilds ?? 0} times{dependency.evicts ? `, evicts by ${dependency.evicts}` : ""}</span>}
          </li>
        ))}
        {!state.dependencies["redis"] && (
          <li><span className="state off"><i aria-hidden="true" /><b>Redis</b> <span className="faint">not configured</span></span></li>
        )}
      </ul>
    </Card>
  );
}

function Storage({ engine }: { engine: Health["engine"] | undefined }) {
  if (!engine) return <Card title="Storage"><Waiting rows={6} /></Card>;
  const perFile = engine.lake_files > 0 ? engine.lake_rows / engine.lake_files : 0;
  return (
    <Card title="Storage">
      <dl className="facts">
        <div><dt>Write-ahead log</dt><dd>{f.bytes(engine.wal_bytes)}</dd></div>
        <div><dt>Buffer</dt><dd>{f.bytes(engine.buffer_bytes)} · {f.count(engine.buffer_rows)} events</dd></div>
        <div><dt>Lake</dt><dd>{f.bytes(engine.lake_bytes)} · {f.count(engine.lake_rows)} events</dd></div>
        <div><dt>Parquet files</dt><dd>{f.count(engine.lake_files)}</dd></div>
        <div><dt>Events a file</dt><dd>{f.compact(perFile)}</dd></div>
        <div><dt>Ids for deduplication</dt><dd>{f.bytes(engine.dedup_bytes)}</dd></div>
        <div><dt>Store of refused events</dt><dd>{f.percent(engine.dead_letters.fullness)} full</dd></div>
      </dl>
    </Card>
  );
}

function Rejected() {
  const rejected = useSql("SELECT code, count(*) AS events, count(*) FILTER (WHERE status = 'open') AS open FROM dead_letters GROUP BY code ORDER BY events DESC, code LIMIT 8");
  return (
    <Card title="Refused, by reason" side={<Link className="button quiet" to="/history/quality/rejected">By hour</Link>}>
      {rejected.error ? <Trouble problem={rejected.error} again={rejected.again} /> : !rejected.data ? <Waiting rows={5} /> : rejected.data.rows === 0 ? (
        <Empty hint="What is not acceptable is kept with its reason, and can be replayed.">Nothing was refused</Empty>
      ) : (
        <BarList tone="bad" entries={rejected.data.data.map((row) => ({
          name: String(row["code"]).replaceAll("_", " "), value: f.toNumber(row["events"]) ?? 0,
          shown: `${f.count(f.toNumber(row["events"]) ?? 0)}${row["open"] === row["events"] ? "" : `, ${f.count(f.toNumber(row["open"]) ?? 0)} open`}`,
        }))} />
      )}
    </Card>
  );
}

/** What runs and what was slow. Texts of all clients are for those who may administer. */
function SlowQueries() {
  const { may } = useApp();
  const allowed = may("admin");
  const asked = useAsk(allowed ? "/admin/queries" : null, (signal) => get<QueryList>("/admin/queries", signal), EVERY_MS);
  const queries = asked.data;
  const after = queries ? f.milliseconds(queries.slow_after_ms) : "";
  const rows = queries ? [...queries.running.filter((query) => query.elapsed_ms >= queries.slow_after_ms), ...queries.slow].slice(0, 12) : [];
  return (
    <Card title="Slow queries" note={queries ? `${after} and longer, the latest` : undefined}>
      {!allowed ? <Empty hint="Sign in with a key that has the scope admin.">Queries of all clients are for administrators</Empty>
        : asked.error ? <Trouble problem={asked.error} again={asked.again} /> : !queries ? <Waiting rows={3} />
        : rows.length === 0 ? <Empty hint="query.slow_after says what is slow.">No query has taken {after}</Empty> : (
          <div className="table-box" tabIndex={0} role="region" aria-label="Slow queries">
            <table className="table">
              <thead><tr><th>Query</th><th className="num">Took</th><th className="num">Rows read</th><th className="num">Read</th><th>Begun</th><th>Ended</th></tr></thead>
              <tbody>{rows.map((query) => <SlowQuery key={query.id} query={query} />)}</tbody>
            </table>
          </div>
        )}
    </Card>
  );
}

const KINDS = { sql: "/console", metric: "/history/", own: "" };

function SlowQuery({ query }: { query: ListedQuery }) {
  const { place } = useApp();
  const line = query.text.replace(/\s+/g, " ");
  const to = query.kind === "sql" ? withQuery(KINDS.sql, { q: query.text }) : query.kind === "metric" ? KINDS.metric + query.text : null;
  return (
    <tr>
      <td title={query.text} className="mono">{to ? <Link to={to}>{line}</Link> : line}</td>
      <td className="num">{f.milliseconds(query.elapsed_ms)}</td>
      <td className="num">{f.count(query.rows_read)}</td>
      <td className="num">{f.bytes(query.bytes_read)}</td>
      <td>{f.clock(Date.parse(query.started_at), place.zone)}</td>
      <td>{query.outcome ?? "running"}</td>
    </tr>
  );
}

function LakeByDay() {
  const days = useSql("SELECT event_date AS day, count(*) AS events FROM events GROUP BY 1 ORDER BY 1 DESC LIMIT 8");
  return (
    <Card title="Events by day" note="lake and buffer">
      {days.error ? <Trouble problem={days.error} again={days.again} /> : !days.data ? <Waiting rows={5} /> : days.data.rows === 0 ? <Empty>No events yet</Empty> : (
        <BarList entries={days.data.data.map((row) => ({
          name: f.calendarDay(String(row["day"])), value: f.toNumber(row["events"]) ?? 0, shown: f.count(f.toNumber(row["events"]) ?? 0),
        }))} />
      )}
    </Card>
  );
}
