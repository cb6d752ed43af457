// From a metric's rows to what is drawn: which column is time, which are measures, which name groups.
import type { Column, MetricAnswer, Row } from "../lib/api";
import { toNumber } from "../lib/format";

export const PERIOD = "period";

export const isTime = (column: Column): boolean => /^(Date|Timestamp)/.test(column.type);
export const isNumeric = (column: Column): boolean => /^(U?Int|Float|Decimal)/.test(column.type);

const MEASURING = new Set(["money", "count", "ratio", "milliseconds", "rate", "days", "bytes"]);

/** Columns that say how much. A number without a unit is one where nothing says otherwise. */
export function measures(columns: Column[]): Column[] {
  const withUnit = columns.filter((c) => isNumeric(c) && c.unit && MEASURING.has(c.unit) && c.name !== "step");
  return withUnit.length > 0 ? withUnit : columns.filter(isNumeric);
}

/** Columns that say of what. */
export function dimensions(columns: Column[]): Column[] {
  const measuring = new Set(measures(columns).map((c) => c.name));
  return columns.filter((c) => c.name !== PERIOD && !measuring.has(c.name));
}

/** What to show first: what people mean by the metric, where that can be told. */
const FIRST = [
  "net", "order_value", "retention_rate", "ltv", "conversion_rate", "returning_rate", "views", "page_views", "sessions",
  "active_users", "events",
];

export function firstMeasure(columns: Column[]): string | undefined {
  const names = measures(columns).map((c) => c.name);
  return FIRST.find((name) => names.includes(name)) ?? names[0];
}

export function timeColumn(columns: Column[]): Column | undefined {
  return columns.find((c) => isTime(c) && c.name !== PERIOD);
}

/** Milliseconds; a calendar day is its midnight in UTC. */
export function instant(value: unknown): number {
  const text = String(value);
  return Date.parse(/^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00:00Z` : text);
}

export interface Series {
  times: number[];
  days: boolean;
  lines: { name: string; previous: boolean; values: (number | null)[] }[];
}

/** The most lines in one drawing; what is more is left to the table. */
export const MOST_LINES = 6;

/** How long a range is, in milliseconds: both days belong to it. */
export function rangeLength(params: Row): number {
  const [start, end] = [instant(params["start"]), instant(params["end"])];
  if (Number.isNaN(start) || Number.isNaN(end)) return 0;
  return end - start + (String(params["end"]).length === 10 ? 86_400_000 : 0);
}

/**
 * Rows over time as lines: one, or one for each value of the grouping column (the largest first), and what was in the
 * range before moved onto this one.
 */
export function series(answer: MetricAnswer, measure: string): Series | null {
  const time = timeColumn(answer.meta);
  if (!time) return null;
  const compared = answer.meta.some((c) => c.name === PERIOD);
  const group = dimensions(answer.meta).find((c) => !isTime(c) && c.name !== "local" && varies(answer.data, c.name));
  const shift = compared ? rangeLength(answer.params) : 0;
  const groups = new Map<string, { name: string; previous: boolean; total: number; points: Map<number, number | null> }>();
  for (const row of answer.data) {
    const previous = row[PERIOD] === "previous";
    const name = group ? String(row[group.name] ?? "–") : measure;
    const key = `${previous}|${name}`;
    let line = groups.get(key);
    if (!line) groups.set(key, (line = { name, previous, total: 0, points: new Map() }));
    const value = toNumber(row[measure]);
    line.points.set(instant(row[time.name]) + (previous ? shift : 0), value);
    line.total += Math.abs(value ?? 0);
  }
  const chosen = [...groups.values()].sort((a, b) => Number(a.previous) - Number(b.previous) || b.total - a.total).slice(0, MOST_LINES);
  const known = [...new Set(chosen.flatMap((line) => [...line.points.keys()]))].sort((a, b) => a - b);
  const days = /^Date/.test(time.type);
  const counts = answer.meta.find((c) => c.name === measure)?.unit;
  const times = days ? everyDay(known, answer.params, String(answer.params["grain"] ?? "")) : known;
  // A day without rows had none of it; a ratio has no value there.
  const adds = counts === "money" || counts === "count";
  const hole = adds && (times.length > known.length || chosen.filter((line) => !line.previous).length > 1) ? 0 : null;
  const end = days && "end" in answer.params ? instant(answer.params["end"]) : Infinity;
  return {
    times,
    days,
    lines: chosen.map(({ name, previous, points }) => ({
      name,
      previous,
      values: times.map((at) => points.get(at) ?? (at <= end ? hole : null)),
    })),
  };
}

/** The days of the range, so that a quiet one is a gap and not missing; weeks and months stay as they are. */
function everyDay(known: number[], params: Row, grain: string): number[] {
  const [start, end] = [instant(params["start"]), instant(params["end"])];
  const step = 86_400_000;
  if (Number.isNaN(start) || Number.isNaN(end) || grain || (end - start) / step > 1_000) return known;
  const daily = known.length < 2 || known.some((at, i) => i > 0 && at - known[i - 1]! === step);
  if (!daily) return known;
  const days = new Set(known);
  for (let at = start; at <= end; at += step) days.add(at);
  return [...days].sort((a, b) => a - b);
}

function varies(rows: Row[], name: string): boolean {
  const first = rows[0]?.[name];
  return rows.some((row) => row[name] !== first);
}

export interface Bar {
  name: string;
  value: number;
  previous: number | null;
}

/** Rows as named bars, in the metric's own order; an unknown name is one too. */
export function bars(answer: MetricAnswer, measure: string): Bar[] {
  const names = dimensions(answer.meta).filter((c) => varies(answer.data, c.name) || answer.data.length === 1);
  const label = names.find((c) => !/_id$/.test(c.name)) ?? names[0];
  const id = names[0];
  const known = new Map<string, Bar>();
  for (const row of answer.data) {
    const name = String((label ? row[label.name] : null) ?? (id ? row[id.name] : null) ?? "unknown");
    const value = toNumber(row[measure]);
    const bar = known.get(name) ?? { name, value: 0, previous: null };
    if (row[PERIOD] === "previous") bar.previous = (bar.previous ?? 0) + (value ?? 0);
    else bar.value += value ?? 0;
    known.set(name, bar);
  }
  return [...known.values()];
}

export interface Heat {
  rows: string[];
  columns: string[];
  rowLabel: string;
  columnLabel: string;
  value: (row: string, column: string) => number | null;
  most: number;
}

/** Rows as a grid: the first two dimensions (numbers without a unit count as such here) against each other. */
export function heat(answer: MetricAnswer, measure: string): Heat | null {
  const measuring = new Set(measures(answer.meta).map((c) => c.name));
  const axes = answer.meta.filter((c) => c.name !== PERIOD && !measuring.has(c.name));
  const [down, across] = axes;
  if (!down || !across) return null;
  const cells = new Map<string, number>();
  const [rows, columns] = [new Set<string>(), new Set<string>()];
  let most = 0;
  for (const row of answer.data) {
    if (row[PERIOD] === "previous") continue;
    const [r, c] = [String(row[down.name] ?? "–"), String(row[across.name] ?? "–")];
    rows.add(r);
    columns.add(c);
    const value = toNumber(row[measure]);
    if (value === null) continue;
    const sum = (cells.get(`${r}|${c}`) ?? 0) + value;
    cells.set(`${r}|${c}`, sum);
    most = Math.max(most, sum);
  }
  const byNumber = (a: string, b: string) => (Number(a) - Number(b) || a.localeCompare(b));
  return {
    rows: [...rows],
    columns: [...columns].sort(byNumber),
    rowLabel: down.name,
    columnLabel: across.name,
    value: (r, c) => cells.get(`${r}|${c}`) ?? null,
    most,
  };
}
