// The last hour by minute: read once, then kept current from the ticks.
import type { KpiFigures, MinutePoint, Tick } from "../lib/api";

export const MEASURES = ["page_views", "sessions", "orders", "revenue", "events"] as const;
export type Measure = (typeof MEASURES)[number];

export const MEASURE_LABELS: Record<Measure, string> = {
  page_views: "Page views",
  sessions: "Sessions",
  orders: "Orders",
  revenue: "Sales",
  events: "Events",
};

function point(minute: string, figures: KpiFigures): MinutePoint {
  const { events, sessions, unique_users, page_views, orders, revenue } = figures;
  return { minute, events, sessions, unique_users, page_views, orders, revenue };
}

/** The series with the tick's two minutes put in, at most `most` long, without holes at its end. */
export function withTick(series: MinutePoint[], tick: Tick, most: number): MinutePoint[] {
  const next = [...series];
  for (const kpi of [tick.kpis.latest, tick.kpis.current]) {
    const made = point(kpi.window_start, kpi.metrics);
    const at = next.findIndex((known) => known.minute === made.minute);
    if (at >= 0) next[at] = made;
    else if (next.length === 0 || Date.parse(made.minute) > Date.parse(next.at(-1)!.minute)) next.push(made);
  }
  return next.slice(-most);
}

/** Whether minutes are missing between the series' end and the tick: then it is read anew. */
export function hasGap(series: MinutePoint[], tick: Tick): boolean {
  const last = series.at(-1);
  return !last || Date.parse(tick.kpis.latest.window_start) - Date.parse(last.minute) > 60_000;
}

/** Every minute of the span, with zeros where nothing happened: SQL has no rows for those. */
export function filled(rows: MinutePoint[], until: number, minutes: number): MinutePoint[] {
  const known = new Map(rows.map((row) => [Date.parse(row.minute), row]));
  const last = Math.floor(until / 60_000) * 60_000;
  return Array.from({ length: minutes }, (_, i) => {
    const at = last - (minutes - 1 - i) * 60_000;
    return known.get(at) ?? {
      minute: new Date(at).toISOString(), events: 0, sessions: 0, unique_users: 0, page_views: 0, orders: 0, revenue: 0,
    };
  });
}
