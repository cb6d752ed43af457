// The address of the view as a request: parameters stand under their own names, what is only of the view under `_…`.
import type { Metric, Param } from "../lib/api";
import { withQuery } from "../lib/api";

export const VIEW = "_view";
export const MEASURE = "_y";

export interface Preset {
  label: string;
  start: string;
  end: string;
}

export const PRESETS: readonly Preset[] = [
  { label: "Today", start: "today", end: "today" },
  { label: "Yesterday", start: "yesterday", end: "yesterday" },
  { label: "7 days", start: "-6d", end: "today" },
  { label: "30 days", start: "-29d", end: "today" },
  { label: "90 days", start: "-89d", end: "today" },
  { label: "12 months", start: "-1y", end: "today" },
];

export const paramOf = (metric: Metric, name: string): Param | undefined => metric.params.find((p) => p.name === name);

export const hasDayRange = (metric: Metric): boolean =>
  paramOf(metric, "start")?.type === "date" && paramOf(metric, "end")?.type === "date";

/** What the address says of this metric's parameters. */
export function given(metric: Metric, query: URLSearchParams): Record<string, string> {
  const values: Record<string, string> = {};
  for (const param of metric.params) {
    const value = query.get(param.name);
    if (value) values[param.name] = value;
  }
  if (metric.compare && query.get("compare") === "previous") values["compare"] = "previous";
  return values;
}

/** Parameters that a request must have and the address does not. */
export const missing = (metric: Metric, values: Record<string, string>): Param[] =>
  metric.params.filter((p) => p.required && !values[p.name]);

export const requestPath = (metric: Metric, values: Record<string, string>, format = ""): string =>
  withQuery(format ? `${metric.path}.${format}` : metric.path, values);

/** The preset that the range is, where it is one. */
export function presetOf(metric: Metric, values: Record<string, string>): string | undefined {
  const start = values["start"] ?? paramOf(metric, "start")?.default;
  const end = values["end"] ?? paramOf(metric, "end")?.default;
  return PRESETS.find((p) => p.start === start && p.end === end)?.label;
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** The same request for a terminal. */
export function curl(origin: string, metric: Metric, values: Record<string, string>, withKey: boolean, format = ""): string {
  const path = format ? `${metric.path}.${format}` : metric.path;
  const parts = [`curl -G ${quoted(origin + path)}`];
  if (withKey) parts.push(`-H "Authorization: Bearer $TIDELINE_KEY"`);
  for (const [name, value] of Object.entries(values)) parts.push(`--data-urlencode ${quoted(`${name}=${value}`)}`);
  return parts.join(" \\\n  ");
}

/** `sales/daily` is in the group "Sales". */
export function groups(metrics: Metric[]): [string, Metric[]][] {
  const known = new Map<string, Metric[]>();
  for (const metric of metrics) {
    const name = metric.name.includes("/") ? metric.name.slice(0, metric.name.indexOf("/")) : "other";
    known.set(name, [...(known.get(name) ?? []), metric]);
  }
  const rank = (name: string) => {
    const at = ["sales", "conversion", "funnel", "traffic", "products", "customers"].indexOf(name);
    return at < 0 ? 99 : at;
  };
  return [...known.entries()].sort(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b));
}
