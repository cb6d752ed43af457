// SQL, typed and run here. The text and what was run stay in this browser.
import { useCallback, useEffect, useMemo, useRef, useState } from "react";

import { Problem, type SqlAnswer, send } from "../lib/api";
import { useApp } from "../context";
import * as f from "../lib/format";
import { useAsk, useStored } from "../lib/hooks";
import { go, placeWith, usePlace } from "../lib/route";
import { Icon } from "../ui/icons";
import { Card, Choice, CopyButton, Empty, Trouble } from "../ui/parts";
import { type Editor, makeEditor } from "./Editor";
import { DataGrid, PlanView, QuickChart } from "./results";
import { type Table, keywordOf, schemaOf } from "./schema";

const FIRST = `SELECT event_type, count(*) AS events, count(DISTINCT user_id) AS users
FROM events
WHERE event_ts > now() - INTERVAL '1 hour'
GROUP BY event_type
ORDER BY events DESC`;
/** Texts remembered. */
const REMEMBERED = 50;
const FORMATS = ["csv", "parquet", "ndjson", "arrow", "json"] as const;

type Outcome =
  | { is: "nothing" }
  | { is: "running"; id: string; begun: number }
  | { is: "done"; answer: SqlAnswer; took: number; sql: string }
  | { is: "failed"; problem: Problem }
  | { is: "cancelled" };

async function ask(sql: string, id: string, signal: AbortSignal): Promise<SqlAnswer> {
  const answer = await send("/sql", {
    method: "POST", signal, body: JSON.stringify({ q: sql }),
    headers: { "content-type": "application/json", accept: "application/json", "x-query-id": id },
  });
  return (await answer.json()) as SqlAnswer;
}

export default function ConsolePage() {
  const { config } = useApp();
  const place = usePlace();
  const [draft, setDraft] = useStored("console.draft", FIRST);
  const [past, setPast] = useStored<string[]>("console.past", []);
  const [outcome, setOutcome] = useState<Outcome>({ is: "nothing" });
  const [view, setView] = useState<"rows" | "chart">("rows");
  const host = useRef<HTMLDivElement>(null);
  const editor = useRef<Editor | null>(null);
  const running = useRef<{ id: string; control: AbortController; cancelled: boolean } | null>(null);
  const schema = useAsk("schema", schemaOf);

  const run = useCallback(async (prefix = "") => {
    const text = editor.current?.text() ?? "";
    if (!text.trim() || running.current) return;
    const sql = prefix ? `${prefix} ${text.replace(/^\s*EXPLAIN(\s+ANALYZE)?\s+/i, "")}` : text;
    const id = crypto.randomUUID();
    const control = new AbortController();
    const mine = { id, control, cancelled: false };
    running.current = mine;
    const begun = performance.now();
    setOutcome({ is: "running", id, begun: Date.now() });
    editor.current?.mark(null);
    try {
      const answer = await ask(sql, id, control.signal);
      setOutcome({ is: "done", answer, took: performance.now() - begun, sql });
    } catch (error) {
      if (mine.cancelled || control.signal.aborted) {
        setOutcome({ is: "cancelled" });
        return;
      }
      const problem = error instanceof Problem ? error : new Problem(0, "internal", String(error));
      setOutcome({ is: "failed", problem });
      if (problem.position) {
        const { line, column } = problem.position;
        // What stands before the text is not the reader's.
        editor.current?.mark({ line, column: line === 1 && prefix ? column - prefix.length - 1 : column, message: problem.message });
      }
    } finally {
      running.current = null;
      setPast([text, ...past.filter((other) => other !== text)].slice(0, REMEMBERED));
    }
  }, [past, setPast]);

  const cancel = useCallback(async () => {
    const current = running.current;
    if (!current) return;
    current.cancelled = true;
    try {
      await send(`/queries/${current.id}`, { method: "DELETE" });
    } catch {
      // It waits for its turn, or has just ended: leaving stops it all the same.
      current.control.abort();
    }
  }, []);

  const latest = useRef(run);
  latest.current = run;
  const given = place.query.get("q");
  useEffect(() => {
    if (!host.current) return;
    const made = makeEditor(host.current, given ?? draft, () => void latest.current(), setDraft);
    editor.current = made;
    made.focus();
    return () => {
      editor.current = null;
      made.destroy();
      running.current?.control.abort();
    };
    // One editor for the life of the view.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);
  useEffect(() => {
    if (schema.data) editor.current?.setSchema(Object.fromEntries(schema.data.map((table) => [table.name, table.columns.map((c) => c.name)])));
  }, [schema.data]);

  return (
    <div className="console">
      <h1 className="sr-only">SQL console</h1>
      <div className="console-main">
        <Card>
          <div ref={host} className="editor" data-testid="editor" />
          <div className="console-tools">
            {outcome.is === "running" ? (
              <button type="button" className="button primary" onClick={() => void cancel()}><Icon name="stop" size={14} /> Cancel</button>
            ) : (
              <button type="button" className="button primary" onClick={() => void run()}><Icon name="play" size={14} /> Run</button>
            )}
            <button type="button" className="button" disabled={outcome.is === "running"} onClick={() => void run("EXPLAIN")}>Explain</button>
            <button type="button" className="button" disabled={outcome.is === "running"} onClick={() => void run("EXPLAIN ANALYZE")}>Analyse</button>
            <span className="note">Ctrl or ⌘ with Enter runs it</span>
            <span className="spacer" />
            <button type="button" className="button quiet" onClick={() => go(placeWith(place, { q: editor.current?.text() }), true)}>Put into the address</button>
            <Download sql={() => editor.current?.text() ?? ""} />
          </div>
        </Card>
        <Result outcome={outcome} view={view} setView={setView} most={config.json_rows} />
      </div>
      <aside className="console-side" aria-label="Tables and earlier queries">
        <Card>
          <h3>Tables and views</h3>
          {schema.error ? <Trouble problem={schema.error} again={schema.again} /> : <Schema tables={schema.data ?? []} onPick={(text) => editor.current?.insert(text)} />}
        </Card>
        {past.length > 0 && (
          <Card>
            <h3>Run before, in this browser</h3>
            <ul className="past">
              {past.map((text) => (
                <li key={text}><button type="button" title={text} onClick={() => editor.current?.setText(text)}>{text.replace(/\s+/g, " ")}</button></li>
              ))}
            </ul>
            <button type="button" className="button quiet" onClick={() => setPast([])}>Forget them</button>
          </Card>
        )}
      </aside>
    </div>
  );
}

function Download({ sql }: { sql: () => string }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const fetchAs = async (format: string) => {
    setBusy(true);
    setProblem(null);
    try {
      const answer = await send(`/sql.${format}`, { method: "POST", headers: { "content-type": "application/sql" }, body: sql() });
      const url = URL.createObjectURL(await answer.blob());
      const link = document.createElement("a");
      link.href = url;
      link.download = `query.${format}`;
      link.click();
      window.setTimeout(() => URL.revokeObjectURL(url), 10_000);
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, "internal", String(error)));
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <select aria-label="Download all rows as" value="" disabled={busy} onChange={(event) => void fetchAs(event.target.value)}>
        <option value="" disabled>{busy ? "Fetching…" : "Download all rows"}</option>
        {FORMATS.map((format) => <option key={format} value={format}>{format}</option>)}
      </select>
      {problem && <span className="field-problem" role="alert">{problem.message}</span>}
    </>
  );
}

function Schema({ tables, onPick }: { tables: Table[]; onPick: (text: string) => void }) {
  return (
    <div className="schema">
      {tables.map((table) => (
        <details key={table.name}>
          <summary>{table.name}</summary>
          <ul>
            {table.columns.map((column) => (
              <li key={column.name}>
                <button type="button" className="linklike" onClick={() => onPick(column.name)}>{column.name}</button>
                <span title={column.type}>{keywordOf(column.type)}</span>
              </li>
            ))}
          </ul>
        </details>
      ))}
    </div>
  );
}

function Running({ begun }: { begun: number }) {
  const [ms, setMs] = useState(0);
  useEffect(() => {
    const timer = window.setInterval(() => setMs(Date.now() - begun), 100);
    return () => window.clearInterval(timer);
  }, [begun]);
  return <Empty><span role="status">Running, {f.decimal(ms / 1_000, 1)} s</span></Empty>;
}

function Result({ outcome, view, setView, most }: {
  outcome: Outcome; view: "rows" | "chart"; setView: (view: "rows" | "chart") => void; most: number;
}) {
  const plan = useMemo(() => (outcome.is === "done" && /^\s*EXPLAIN/i.test(outcome.sql) ? outcome.answer : null), [outcome]);
  switch (outcome.is) {
    case "nothing":
      return <Card><Empty hint="Reading only: nothing that is typed here can change a row.">Run a query to see its rows</Empty></Card>;
    case "running":
      return <Card busy><Running begun={outcome.begun} /></Card>;
    case "cancelled":
      return <Card><Empty>Cancelled</Empty></Card>;
    case "failed":
      return (
        <div data-testid="failure">
          <Trouble problem={outcome.problem} />
          {outcome.problem.position && <p className="note">at line {outcome.problem.position.line}, column {outcome.problem.position.column}</p>}
        </div>
      );
    case "done": {
      const { answer } = outcome;
      const stats = answer.statistics;
      return (
        <Card title={plan ? "Plan" : "Rows"} note={
          `${f.count(answer.rows)} ${answer.rows === 1 ? "row" : "rows"} in ${f.milliseconds(outcome.took)}, ${f.count(stats.rows_read)} read, ${f.bytes(stats.bytes_read)}`
        } side={
          <>
            <CopyButton text={JSON.stringify(answer.data, null, 1)} label="Copy JSON" />
            {!plan && <Choice label="Show as" value={view} onChange={setView} options={[{ value: "rows", label: "Rows" }, { value: "chart", label: "Chart" }]} />}
          </>
        }>
          {answer.truncated && <p className="note">Shortened to {f.count(most)} rows; a download has all of them.</p>}
          {plan ? <PlanView answer={plan} /> : answer.rows === 0 ? <Empty>No rows</Empty> : view === "rows" ? <DataGrid answer={answer} /> : <QuickChart answer={answer} />}
        </Card>
      );
    }
  }
}
