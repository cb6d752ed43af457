// Where the live view's figures come from: the stream while nothing is filtered, the `now/…` metrics where something is.
import { useEffect, useMemo, useRef, useState } from "react";

import { get, type FunnelStep, type MetricAnswer, type MinutePoint, type Order, type Problem, type Row, type Tick, withQuery } from "../lib/api";
import { type Asked, useAsk } from "../lib/hooks";
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

/** What is shown of this moment; null is what is not known yet. */
export interface Board {
  active: { users: number; sessions: number; exact: boolean } | null;
  rankings: { pages: Ranked[]; products: Ranked[]; sources: Ranked[]; countries: Ranked[] } | null;
  funnel: FunnelStep[] | null;
  orders: Order[] | null;
  minutes: MinutePoint[] | null;
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

function boardOf(tick: Tick | null, minutes: MinutePoint[]): Board {
  return {
    active: tick && { users: tick.active_users, sessions: tick.active_sessions, exact: tick.exact },
    rankings: tick && {
      pages: tick.top_pages.map((row) => ({ name: row.page, value: row.views })),
      products: tick.top_products.map((row) => ({ name: row.product_id, value: row.views ?? 0 })),
      sources: tick.sources.map((row) => ({ name: row.source, value: row.revenue })),
      countries: tick.countries.map((row) => ({ name: row.country, value: row.revenue })),
    },
    funnel: tick && tick.funnel.steps,
    orders: tick && tick.latest_orders,
    minutes: minutes.length > 0 ? minutes : null,
  };
}

/** One `now/…` metric under these filters, asked for every few seconds; nothing where nothing is filtered. */
function useNowMetric<T>(name: string, filters: Filters, read: (answer: MetricAnswer) => T): Asked<T> {
  const path = isFiltered(filters) ? withQuery(`/analytics/now/${name}`, filters) : null;
  return useAsk(path, async (signal) => read(await get<MetricAnswer>(path ?? "", signal)), FILTERED_MS);
}

function rankings({ data }: MetricAnswer): Board["rankings"] {
  const of = (board: string): Ranked[] =>
    data.filter((row) => row["board"] === board).map((row) => ({ name: text(row, "name"), value: number(row, "value") }));
  return { pages: of("pages"), products: of("products"), sources: of("sources"), countries: of("countries") };
}

function minutesOf({ data, params }: MetricAnswer): MinutePoint[] {
  const points = data.map((row): MinutePoint => ({
    minute: text(row, "minute"), events: number(row, "events"), sessions: number(row, "sessions"),
    unique_users: number(row, "unique_users"), page_views: number(row, "page_views"), orders: number(row, "orders"),
    revenue: number(row, "revenue"),
  }));
  return filled(points, Date.parse(text(params, "at")) || Date.now(), 60);
}

const funnelOf = ({ data }: MetricAnswer): FunnelStep[] => data.map((row) => ({
  step: number(row, "step"), name: text(row, "name"), count: number(row, "sessions"), step_rate: toNumber(row["step_rate"]),
  overall_rate: toNumber(row["overall_rate"]), drop_off: number(row, "drop_off"), drop_off_rate: null,
}));

const ordersOf = ({ data }: MetricAnswer): Order[] => data.map((row) => ({
  event_ts: text(row, "event_ts"), event_id: text(row, "event_id"), order_id: row["order_id"] as string | null,
  value: number(row, "value"), currency: row["currency"] as string | null, country: row["country"] as string | null,
}));

export function useBoard(tick: Tick | null, filters: Filters): { data: Board; error: Problem | null; again: () => void } {
  const narrowed = isFiltered(filters);
  const hour = useMinutes(tick, !narrowed);
  const active = useNowMetric("active", filters, ({ data }) =>
    ({ users: number(data[0] ?? {}, "active_users"), sessions: number(data[0] ?? {}, "active_sessions"), exact: true }));
  const minutes = useNowMetric("minutes", filters, minutesOf);
  const funnel = useNowMetric("funnel", filters, funnelOf);
  const top = useNowMetric("top", filters, rankings);
  const orders = useNowMetric("orders", filters, ordersOf);
  const whole = useMemo(() => boardOf(tick, hour.minutes), [tick, hour.minutes]);
  if (!narrowed) return { data: whole, error: hour.error, again: hour.again };
  const parts = [active, minutes, funnel, top, orders];
  const failed = parts.find((part) => part.error);
  return {
    data: { active: active.data, rankings: top.data, funnel: funnel.data, orders: orders.data, minutes: minutes.data },
    error: failed?.error ?? null,
    again: () => parts.forEach((part) => part.again()),
  };
}
