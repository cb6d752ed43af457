// A metric's answer: as the chart its header names, or as a table.
import type { ChartKind, Column, MetricAnswer } from "../lib/api";
import { BarList } from "../charts/BarList";
import { Chart, type Line } from "../charts/Chart";
import { Funnel, STEP_NAMES } from "../charts/Funnel";
import { useApp } from "../context";
import * as f from "../lib/format";
import { Empty } from "../ui/parts";
import { MOST_LINES, PERIOD, bars, dimensions, heat, isNumeric, measures, series } from "./shape";

const COLOURS = ["accent", "second", "third", "fourth", "fifth", "faint"];
/** Rows a table shows; more are in the download. */
const MOST_ROWS = 1_000;

export function MetricChart({ answer, kind, measure }: { answer: MetricAnswer; kind: ChartKind; measure: string | undefined }) {
  if (kind === "number") return <Numbers answer={answer} />;
  if (kind === "funnel") return <Funnels answer={answer} />;
  if (!measure) return <MetricTable answer={answer} />;
  if (kind === "heatmap") return <HeatMap answer={answer} measure={measure} />;
  return <OverTime answer={answer} kind={kind} measure={measure} /> ;
}

function OverTime({ answer, kind, measure }: { answer: MetricAnswer; kind: ChartKind; measure: string }) {
  const { place } = useApp();
  const made = series(answer, measure);
  if (!made) return <Bars answer={answer} measure={measure} />;
  const unit = answer.meta.find((c) => c.name === measure)?.unit;
  const grouped = made.lines.filter((line) => !line.previous).length > 1;
  const lines: Line[] = made.lines.map((line, at) => ({
    label: line.previous ? `${grouped ? `${line.name}, ` : ""}before` : grouped ? line.name : f.heading(measure),
    values: line.values,
    kind: kind === "bars" && !grouped ? "bars" : grouped || line.previous ? "line" : "area",
    colour: line.previous ? "previous" : (COLOURS[at % COLOURS.length] ?? "accent"),
    dashed: line.previous && kind !== "bars",
  }));
  const sum = made.lines[0]?.values.reduce<number>((total, value) => total + (value ?? 0), 0) ?? 0;
  const said = unit === "money" || unit === "count" ? `, ${f.cell(sum, unit, place)} in all` : "";
  return (
    <>
      {lines.length > 1 && (
        <p className="legend" aria-hidden="true">
          {lines.map((line) => <span key={line.label}><i style={{ background: `var(--${line.colour})` }} />{line.label}</span>)}
          {lines.length === MOST_LINES && <span className="faint">the largest {MOST_LINES}; the table has all</span>}
        </p>
      )}
      <Chart times={made.times} lines={lines} zone={place.zone} days={made.days} height={320}
        format={(value) => f.cell(value, unit, place)} axis={(value) => axis(value, unit, place)}
        label={`${f.heading(measure)} over time: ${made.times.length} points${said}. The table view has every value.`} />
    </>
  );
}

function axis(value: number, unit: string | null | undefined, place: f.Place): string {
  if (unit === "money") return f.moneyCompact(value, place.currency);
  if (unit === "ratio") return f.percent(value, Math.abs(value) < 0.1 && value !== 0 ? 1 : 0);
  if (unit === "milliseconds") return f.milliseconds(value);
  return f.compact(value);
}

function Bars({ answer, measure }: { answer: MetricAnswer; measure: string }) {
  const { place } = useApp();
  const unit = answer.meta.find((c) => c.name === measure)?.unit;
  const entries = bars(answer, measure).slice(0, 40);
  if (entries.length === 0) return <Empty>Nothing to draw; see the table</Empty>;
  return (
    <BarList entries={entries.map((bar) => {
      const delta = f.change(bar.value, bar.previous);
      const was = delta === null ? "" : ` (${delta >= 0 ? "+" : "−"}${f.percent(Math.abs(delta), 0)})`;
      return { name: bar.name, value: bar.value, shown: f.cell(bar.value, unit, place) + was };
    })} />
  );
}

function Numbers({ answer }: { answer: MetricAnswer }) {
  const { place } = useApp();
  const groups = dimensions(answer.meta);
  const before = answer.data.find((row) => row[PERIOD] === "previous");
  const rows = answer.data.filter((row) => row[PERIOD] !== "previous");
  if (rows.length > 1) return <MetricTable answer={answer} />;
  const row = rows[0] ?? {};
  return (
    <div className="numbers">
      {measures(answer.meta).map((column) => {
        const delta = f.change(f.toNumber(row[column.name]), f.toNumber(before?.[column.name]));
        return (
          <div key={column.name} className="number-tile" data-measure={column.name}>
            <p className="tile-label">{f.heading(column.name)}</p>
            <p className="tile-value">{f.cell(row[column.name], column.unit, place)}</p>
            {before && (
              <p className="tile-delta faint">
                {delta !== null && `${delta >= 0 ? "+" : "−"}${f.percent(Math.abs(delta))} `}from {f.cell(before[column.name], column.unit, place)}
              </p>
            )}
          </div>
        );
      })}
      {groups.length > 0 && rows.length === 1 && groups.map((column) => row[column.name] !== null && row[column.name] !== "all" && (
        <div key={column.name} className="number-tile">
          <p className="tile-label">{f.heading(column.name)}</p>
          <p className="tile-value">{f.cell(row[column.name], column.unit, place)}</p>
        </div>
      ))}
    </div>
  );
}

function Funnels({ answer }: { answer: MetricAnswer }) {
  const rows = answer.data.filter((row) => row[PERIOD] !== "previous");
  const texts = answer.meta.filter((c) => !isNumeric(c) && c.name !== PERIOD);
  const stepColumn = texts.find((c) => String(rows[0]?.[c.name]) in STEP_NAMES) ?? texts[0];
  const groupColumn = texts.find((c) => c !== stepColumn);
  const groups = new Map<string, typeof rows>();
  for (const row of rows) {
    const name = groupColumn ? String(row[groupColumn.name] ?? "unknown") : "all";
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  const number = (value: unknown) => f.toNumber(value);
  return (
    <div className={groups.size > 1 ? "grid four" : ""}>
      {[...groups.entries()].slice(0, 12).map(([name, steps]) => (
        <div key={name}>
          {groups.size > 1 && <h3>{name}</h3>}
          <Funnel steps={steps.map((row, at) => {
            const before = at > 0 ? number(steps[at - 1]!["actors"]) : null;
            const actors = number(row["actors"]) ?? 0;
            return {
              name: String(stepColumn ? row[stepColumn.name] : at + 1),
              count: actors,
              stepRate: number(row["step_rate"]) ?? (before ? actors / before : null),
              overallRate: number(row["overall_rate"]),
              dropOff: number(row["drop_off"]) ?? Math.max(0, (before ?? actors) - actors),
            };
          })} />
        </div>
      ))}
    </div>
  );
}

function HeatMap({ answer, measure }: { answer: MetricAnswer; measure: string }) {
  const { place } = useApp();
  const made = heat(answer, measure);
  if (!made) return <MetricTable answer={answer} />;
  const unit = answer.meta.find((c) => c.name === measure)?.unit;
  const column = (name: string) => answer.meta.find((c) => c.name === name)?.unit;
  return (
    <div className="table-box" tabIndex={0} role="region" aria-label={`${f.heading(measure)} as a grid`}>
      <table className="heat">
        <caption className="sr-only">{f.heading(measure)} by {f.heading(made.rowLabel)} and {f.heading(made.columnLabel)}</caption>
        <thead>
          <tr>
            <th scope="col">{f.heading(made.rowLabel)}</th>
            {made.columns.map((name) => <th key={name} scope="col">{made.columnLabel === "k" ? `+${name}` : name}</th>)}
          </tr>
        </thead>
        <tbody>
          {made.rows.map((name) => (
            <tr key={name}>
              <th scope="row">{/^\d{4}-\d\d-\d\d/.test(name) ? f.calendarDay(name) : f.cell(name, column(made.rowLabel), place)}</th>
              {made.columns.map((across) => {
                const value = made.value(name, across);
                const share = value === null || made.most === 0 ? 0 : value / made.most;
                return (
                  <td key={across} style={value === null ? undefined : { background: `color-mix(in srgb, var(--accent) ${Math.round(6 + share * 44)}%, var(--surface))` }}>
                    {value === null ? "" : f.cell(value, unit, place)}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function MetricTable({ answer }: { answer: MetricAnswer }) {
  const { place } = useApp();
  const numeric = (column: Column) => isNumeric(column);
  const unit = (column: Column) => column.unit ?? (/^Timestamp/.test(column.type) ? "timestamp" : /^Date/.test(column.type) ? "date" : null);
  return (
    <>
      <div className="table-box" tabIndex={0} role="region" aria-label="All rows" style={{ maxHeight: 560 }}>
        <table className="table">
          <thead>
            <tr>{answer.meta.map((column) => <th key={column.name} scope="col" className={numeric(column) ? "num" : ""}>{f.heading(column.name)}</th>)}</tr>
          </thead>
          <tbody>
            {answer.data.slice(0, MOST_ROWS).map((row, at) => (
              <tr key={at} className={row[PERIOD] === "previous" ? "previous" : ""}>
                {answer.meta.map((column) => (
                  <td key={column.name} className={numeric(column) ? "num" : ""}>{f.cell(row[column.name], unit(column), place)}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {answer.rows > MOST_ROWS && <p className="note">The first {f.count(MOST_ROWS)} of {f.count(answer.rows)} rows; the download has all.</p>}
    </>
  );
}
