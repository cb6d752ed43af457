// Where the live view's figures come from: the stream while nothing is filtered, the `now/…` metrics where something is.
import { useEffect, useMemo, useRef, useState } from "react";

import { get, type FunnelStep, type MetricAnswer, type MinutePoint, type Order, type Problem, type Row, type Tick, withQuery } from "../lib/api";
import { useAsk } from "../lib/hooks";
import { toNumber } from "../lib/format";
import { type Filters, isFiltered } from "./filters";
import { filled, hasGap, withTick } from "./minutes";

export interface Ranked {
  name: string;
  value: number;
}

/** Today, or yesterday up to the same time. */
export interface DayFigures {
  sales: number;
  orders: number;
  aov: number | null;
  sessions: number;
  converted: number;
  conversion: number | null;
  visitors: number;
}

export interface Board {
  users: number;
  sessions: number;
  exact: boolean;
  pages: Ranked[];
  products: Ranked[];
  sources: Ranked[];
  countries: Ranked[];
  funnel: FunnelStep[];
  orders: Order[];
  minutes: MinutePoint[];
}

export interface Known<T> {
  data: T | null;
  error: Problem | null;
  again: () => void;
}

/** How often figures of SQL are asked for anew. */
const TODAY_MS = 3_000;
const FILTERED_MS = 3_000;

const number = (row: Row, name: string): number => toNumber(row[name]) ?? 0;
const text = (row: Row, name: string): string => String(row[name] ?? "");

function day(row: Row): DayFigures {
  return {
    sales: number(row, "order_value"),
    orders: number(row, "orders"),
    aov: toNumber(row["aov"]),
    sessions: number(row, "sessions"),
    converted: number(row, "converted_sessions"),
    conversion: toNumber(row["conversion_rate"]),
    visitors: number(row, "visitors"),
  };
}

export function useToday(filters: Filters): Known<{ today: DayFigures; before: DayFigures }> {
  const path = withQuery("/analytics/now/today", filters);
  const asked = useAsk(path, async (signal) => {
    const { data } = await get<MetricAnswer>(path, signal);
    const row = (name: string) => day(data.find((r) => r["day"] === name) ?? {});
    return { today: row("today"), before: row("yesterday") };
  }, TODAY_MS);
  return { data: asked.data, error: asked.error, again: asked.again };
}

/** The last hour by minute, kept current by ticks. */
function useMinutes(tick: Tick | null, on: boolean): { minutes: MinutePoint[]; error: Problem | null; again: () => void } {
  const [series, setSeries] = useState<MinutePoint[]>([]);
  const [round, setRound] = useState(0);
  const asked = useAsk(on ? `minutes ${round}` : null, (signal) =>
    get<{ series: MinutePoint[]; window_minutes: number }>("/api/analytics/metrics?minutes=60", signal));
  const most = useRef(60);
  useEffect(() => {
    if (!asked.data) return;
    most.current = asked.data.window_minutes;
    setSeries(asked.data.series);
  }, [asked.data]);
  const asking = asked.busy;
  useEffect(() => {
    if (!tick || !on || asking || series.length === 0) return;
    if (hasGap(series, tick)) setRound((n) => n + 1);
    else setSeries((known) => withTick(known, tick, most.current));
    // A tick is what changes it.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [tick]);
  return { minutes: series, error: asked.error, again: asked.again };
}

function boardOf(tick: Tick, minutes: MinutePoint[]): Board {
  return {
    users: tick.active_users,
    sessions: tick.active_sessions,
    exact: tick.exact,
    pages: tick.top_pages.map((row) => ({ name: row.page, value: row.views })),
    products: tick.top_products.map((row) => ({ name: row.product_id, value: row.views ?? 0 })),
    sources: tick.sources.map((row) => ({ name: row.source, value: row.revenue })),
    countries: tick.countries.map((row) => ({ name: row.country, value: row.revenue })),
    funnel: tick.funnel.steps,
    orders: tick.latest_orders,
    minutes,
  };
}

async function filteredBoard(filters: Filters, signal: AbortSignal): Promise<Board> {
  const ask = (name: string) => get<MetricAnswer>(withQuery(`/analytics/now/${name}`, filters), signal);
  // Two at a time: a browser opens six connections to a server, and the stream has one of them.
  const [active, minutes] = await Promise.all([ask("active"), ask("minutes")]);
  const [top, funnel] = await Promise.all([ask("top"), ask("funnel")]);
  const orders = await ask("orders");
  const ranking = (board: string): Ranked[] =>
    top.data.filter((row) => row["board"] === board).map((row) => ({ name: text(row, "name"), value: number(row, "value") }));
  const at = Date.parse(text(minutes.params as Row, "at")) || Date.now();
  const points = minutes.data.map((row): MinutePoint => ({
    minute: text(row, "minute"), events: number(row, "events"), sessions: number(row, "sessions"),
    unique_users: number(row, "unique_users"), page_views: number(row, "page_views"), orders: number(row, "orders"),
    revenue: number(row, "revenue"),
  }));
  return {
    users: number(active.data[0] ?? {}, "active_users"),
    sessions: number(active.data[0] ?? {}, "active_sessions"),
    exact: true,
    pages: ranking("pages"),
    products: ranking("products"),
    sources: ranking("sources"),
    countries: ranking("countries"),
    funnel: funnel.data.map((row): FunnelStep => ({
      step: number(row, "step"), name: text(row, "name"), count: number(row, "sessions"), step_rate: toNumber(row["step_rate"]),
      overall_rate: toNumber(row["overall_rate"]), drop_off: number(row, "drop_off"), drop_off_rate: null,
    })),
    orders: orders.data.map((row): Order => ({
      event_ts: text(row, "event_ts"), event_id: text(row, "event_id"), order_id: row["order_id"] as string | null,
      value: number(row, "value"), currency: row["currency"] as string | null, country: row["country"] as string | null,
    })),
    minutes: filled(points, at, 60),
  };
}

export function useBoard(tick: Tick | null, filters: Filters): Known<Board> {
  const narrowed = isFiltered(filters);
  const minutes = useMinutes(tick, !narrowed);
  const key = narrowed ? JSON.stringify(filters) : null;
  const asked = useAsk(key, (signal) => filteredBoard(filters, signal), FILTERED_MS);
  const whole = useMemo(() => (tick ? boardOf(tick, minutes.minutes) : null), [tick, minutes.minutes]);
  if (narrowed) return { data: asked.data, error: asked.error, again: asked.again };
  return { data: whole, error: minutes.error, again: minutes.again };
}
