// An answer as rows (only those in sight are in the document), as a quick chart, or as a plan.
import { useEffect, useMemo, useRef, useState } from "react";

import type { Column, SqlAnswer } from "../lib/api";
import { BarList } from "../charts/BarList";
import { Chart } from "../charts/Chart";
import { useApp } from "../context";
import { isNumeric, isTime } from "../history/shape";
import * as f from "../lib/format";
import { Empty } from "../ui/parts";
import { ROW_HEIGHT, sorted, text, visible, widths } from "./grid";
import { parsePlan } from "./plan";

const INDEX_WIDTH = 64;
const COLOURS = ["accent", "second", "third", "fourth"];

export function DataGrid({ answer }: { answer: SqlAnswer }) {
  const box = useRef<HTMLDivElement>(null);
  const [at, setAt] = useState({ top: 0, height: 480 });
  const [by, setBy] = useState<{ name: string; down: boolean } | null>(null);
  const sizes = useMemo(() => widths(answer.meta, answer.data), [answer]);
  const rows = useMemo(() => {
    const column = answer.meta.find((c) => c.name === by?.name);
    return sorted(answer.data, by, column ? isNumeric(column) : false);
  }, [answer, by]);
  useEffect(() => {
    box.current?.scrollTo(0, 0);
    setAt({ top: 0, height: box.current?.clientHeight ?? 480 });
  }, [answer]);
  const { first, last } = visible(at.top, at.height, rows.length);
  const turn = (name: string) => setBy(by?.name !== name ? { name, down: false } : by.down ? null : { name, down: true });
  return (
    <div ref={box} className="data-grid" role="grid" tabIndex={0} aria-label="Rows" aria-rowcount={rows.length + 1} aria-colcount={answer.meta.length}
      onScroll={(event) => setAt({ top: event.currentTarget.scrollTop, height: event.currentTarget.clientHeight })}>
      <div className="data-head" role="row" aria-rowindex={1}>
        <div className="data-cell index" role="columnheader" style={{ width: INDEX_WIDTH }}>#</div>
        {answer.meta.map((column, i) => (
          <div key={column.name} className={`data-cell ${isNumeric(column) ? "num" : ""}`} role="columnheader" style={{ width: sizes[i] }}
            aria-sort={by?.name === column.name ? (by.down ? "descending" : "ascending") : "none"}>
            <button type="button" className="linklike" title={column.type} onClick={() => turn(column.name)}>
              {column.name}{by?.name === column.name && (by.down ? " ↓" : " ↑")}
            </button>
          </div>
        ))}
      </div>
      <div role="rowgroup" style={{ height: rows.length * ROW_HEIGHT, position: "relative" }}>
        {rows.slice(first, last).map((row, i) => (
          <div key={first + i} className="data-row" role="row" aria-rowindex={first + i + 2} style={{ top: (first + i) * ROW_HEIGHT }}>
            <div className="data-cell index" role="rowheader" style={{ width: INDEX_WIDTH }}>{first + i + 1}</div>
            {answer.meta.map((column, c) => {
              const value = row[column.name];
              const none = value === null || value === undefined;
              return (
                <div key={column.name} role="gridcell" style={{ width: sizes[c] }} title={none ? undefined : text(value)}
                  className={`data-cell ${isNumeric(column) ? "num" : ""} ${none ? "null" : ""}`}><span>{text(value)}</span></div>
              );
            })}
          </div>
        ))}
      </div>
    </div>
  );
}

export function QuickChart({ answer }: { answer: SqlAnswer }) {
  const { place } = useApp();
  const numbers = answer.meta.filter(isNumeric);
  const time = answer.meta.find(isTime);
  const name = answer.meta.find((c) => !isNumeric(c) && !isTime(c));
  const [wanted, setWanted] = useState("");
  const measure = numbers.find((c) => c.name === wanted) ?? numbers[0];
  if (!measure || (!time && !name)) return <Empty hint="A chart needs a column of numbers, and one of times or names.">There is nothing to draw in these rows</Empty>;
  const picker = numbers.length > 1 && !time && (
    <p className="note">Show{" "}
      <select aria-label="Measure" value={measure.name} onChange={(event) => setWanted(event.target.value)}>
        {numbers.map((c) => <option key={c.name} value={c.name}>{c.name}</option>)}
      </select>
    </p>
  );
  if (time) {
    const rows = answer.data.filter((row) => row[time.name] !== null).toSorted((a, b) => Date.parse(String(a[time.name])) - Date.parse(String(b[time.name])));
    const lines = numbers.slice(0, COLOURS.length).map((column: Column, at) => ({
      label: column.name, values: rows.map((row) => f.toNumber(row[column.name])), kind: "line" as const, colour: COLOURS[at] ?? "accent",
    }));
    return (
      <>
        <p className="legend" aria-hidden="true">{lines.map((line) => <span key={line.label}><i style={{ background: `var(--${line.colour})` }} />{line.label}</span>)}</p>
        <Chart times={rows.map((row) => Date.parse(String(row[time.name])))} lines={lines} zone={place.zone} days={/^Date/.test(time.type)} height={320}
          format={(value) => f.decimal(value, 4)} axis={f.compact} label={`${lines.map((line) => line.label).join(", ")} over ${time.name}`} />
      </>
    );
  }
  const entries = answer.data.slice(0, 40).map((row) => {
    const value = f.toNumber(row[measure.name]) ?? 0;
    return { name: text(row[name!.name]), value, shown: f.decimal(value, 4) };
  });
  return <>{picker}<BarList entries={[...new Map(entries.map((entry) => [entry.name, entry])).values()]} /></>;
}

export function PlanView({ answer }: { answer: SqlAnswer }) {
  const plans = answer.data.map((row) => ({ kind: String(row["plan_type"] ?? "plan"), nodes: parsePlan(String(row["plan"] ?? "")) }));
  return (
    <>
      {plans.map((plan) => {
        const most = Math.max(1e-9, ...plan.nodes.map((node) => node.ms ?? 0));
        const measured = plan.nodes.some((node) => node.ms !== null);
        return (
          <section key={plan.kind} className="plan" tabIndex={0} aria-label={plan.kind}>
            <h3>{f.heading(plan.kind)}</h3>
            {plan.nodes.map((node, at) => (
              <div key={at} className="plan-node" title={Object.entries(node.metrics).map(([name, value]) => `${name} ${value}`).join("\n")}>
                <div style={{ paddingLeft: node.depth * 16, minWidth: 0 }}>
                  <span className="plan-name">{node.name}</span>
                  {node.detail && <span className="plan-detail">{node.detail}</span>}
                </div>
                <div className="num">{node.rows ?? ""}{node.rows && <span className="faint"> rows</span>}</div>
                <div className="num">
                  {node.ms !== null && f.milliseconds(node.ms)}
                  {measured && node.ms !== null && <div className="plan-bar" style={{ width: `${Math.max(1, (node.ms / most) * 100)}%` }} />}
                </div>
              </div>
            ))}
          </section>
        );
      })}
    </>
  );
}
