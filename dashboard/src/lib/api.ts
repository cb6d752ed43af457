// Everything the page asks its server, and what it may be told. One way to ask, one shape of error.

/** An error as the server words it (RFC 9457). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint?: string,
    readonly position?: { line: number; column: number },
    readonly didYouMean?: string,
    readonly requestId?: string,
  ) {
    super(message);
  }
}

/** The request never got an answer. */
export const UNREACHABLE = "unreachable";

type Json = Record<string, unknown>;

async function problemOf(response: Response): Promise<Problem> {
  let said: Json = {};
  try {
    said = (await response.json()) as Json;
  } catch {
    // Not one of ours: a proxy's page.
  }
  const text = (name: string) => (typeof said[name] === "string" ? (said[name] as string) : undefined);
  const problem = new Problem(
    response.status,
    text("code") ?? "http_error",
    text("message") ?? `the server answered ${response.status}`,
    text("hint"),
    said["position"] as { line: number; column: number } | undefined,
    text("did_you_mean"),
    text("request_id"),
  );
  if (response.status === 401) signedOut.forEach((tell) => tell());
  return problem;
}

const signedOut = new Set<() => void>();

/** Calls back whenever an answer says that nobody is signed in. */
export function onSignedOut(tell: () => void): () => void {
  signedOut.add(tell);
  return () => signedOut.delete(tell);
}

/** Sends a request; anything but 2xx is a Problem. */
export async function send(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...init });
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new Problem(0, UNREACHABLE, "the server does not answer", "is it running, and is the network there?");
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** A browser opens six connections to a server, and the stream has one: what asks by itself must leave some free. */
const MOST_AT_ONCE = 3;
let asking = 0;
const waiting: (() => void)[] = [];

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  if (asking >= MOST_AT_ONCE) await new Promise<void>((turn) => waiting.push(turn));
  asking += 1;
  try {
    signal?.throwIfAborted();
    const response = await send(path, { headers: { accept: "application/json" }, ...(signal ? { signal } : {}) });
    return (await response.json()) as T;
  } finally {
    asking -= 1;
    waiting.shift()?.();
  }
}

/** A path with its parameters; blank ones are left out. */
export function withQuery(path: string, params: Record<string, string | number | undefined>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) if (value !== undefined && value !== "") query.set(name, String(value));
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

// ── What the server answers ────────────────────────────────────────────────────────────────────────────────────────

/** `GET /config` */
export interface PageConfig {
  version: string;
  keys_required: boolean;
  single_sign_on: boolean;
  shop: { name: string; time_zone: string; currency: string };
  live_every_ms: number;
  hot_window_minutes: number;
  json_rows: number;
}

/** `GET /session` */
export interface Session {
  by: "local" | "key" | "session";
  key_id: string | null;
  name: string | null;
  scopes: string[];
  expires_at: string | null;
}

/** A query, of `GET /admin/queries` */
export interface ListedQuery {
  id: string;
  kind: "sql" | "metric" | "own";
  text: string;
  started_at: string;
  elapsed_ms: number;
  rows_read: number;
  bytes_read: number;
  outcome?: string;
}

/** `GET /admin/queries` */
export interface QueryList {
  slow_after_ms: number;
  running: ListedQuery[];
  slow: ListedQuery[];
}

export interface Column {
  name: string;
  type: string;
  unit?: string | null;
}

export type Cell = string | number | boolean | null | Cell[] | { [name: string]: Cell };
export type Row = Record<string, Cell>;

export interface Freshness {
  through: string;
  lake_version: number;
  buffered_rows: number;
}

/** An answer of `/analytics/…` */
export interface MetricAnswer {
  metric: string;
  params: Record<string, Cell>;
  meta: Column[];
  data: Row[];
  rows: number;
  freshness: Freshness;
}

/** An answer of `/sql` */
export interface SqlAnswer {
  query_id: string;
  meta: Column[];
  data: Row[];
  rows: number;
  truncated: boolean;
  statistics: { elapsed_ms: number; rows_read: number; bytes_read: number };
  freshness: Freshness;
}

export type ParamType =
  | "string" | "integer" | "decimal" | "boolean" | "timestamp" | "date" | "duration" | "enum" | "list";

export interface Param {
  name: string;
  type: ParamType;
  required: boolean;
  default?: string;
  min?: string | number;
  max?: string | number;
  values?: string[];
  doc?: string;
}

export type ChartKind = "bars" | "line" | "table" | "number" | "funnel" | "heatmap";

/** A metric of `GET /analytics` */
export interface Metric {
  name: string;
  path: string;
  paths: string[];
  summary: string;
  description: string;
  params: Param[];
  compare: boolean;
  columns: Column[];
  chart: ChartKind | null;
  cache_seconds: number;
  warning?: string;
  sql: string;
}

export interface Catalogue {
  metrics: Metric[];
  problems: { file: string; line: number; column: number; message: string }[];
}

export interface KpiFigures {
  events: number;
  sessions: number;
  unique_users: number;
  page_views: number;
  product_views: number;
  add_to_carts: number;
  checkouts: number;
  purchases: number;
  orders: number;
  converted_sessions: number;
  conversion_rate: number | null;
  revenue: number;
  aov: number | null;
}

export interface Kpi {
  window_start: string;
  window_end: string;
  final: boolean;
  exact: boolean;
  metrics: KpiFigures;
  performance: {
    latency_ms_p50: number | null;
    latency_ms_p95: number | null;
    latency_ms_p99: number | null;
    processing_time: number | null;
  };
}

export interface FunnelStep {
  step: number;
  name: string;
  count: number;
  step_rate: number | null;
  overall_rate: number | null;
  drop_off: number;
  drop_off_rate: number | null;
}

export interface Order {
  event_ts: string;
  event_id: string;
  order_id: string | null;
  value: number;
  currency: string | null;
  country: string | null;
}

export interface Alert {
  id: string;
  rule: string;
  severity: string;
  message: string;
  opened_at: string;
  value?: number | null;
}

/** What `/live` pushes. */
export interface Tick {
  at: string;
  tick: number;
  window_minutes: number;
  active_users: number;
  active_sessions: number;
  exact: boolean;
  degraded?: boolean;
  degraded_reason?: string;
  kpis: { current: Kpi; latest: Kpi };
  rates: { events_per_second: number; arrivals: number[] };
  top_pages: { page: string; views: number }[];
  top_products: { product_id: string; views?: number }[];
  products_bought: { product_id: string; units?: number }[];
  sources: { source: string; revenue: number }[];
  countries: { country: string; revenue: number }[];
  funnel: { window_minutes: number; conversion_rate: number | null; steps: FunnelStep[] };
  latest_orders: Order[];
  freshness: { seq: number; behind: number; buffered_rows: number; lake_version: number };
  alerts: Alert[];
}

export interface MinutePoint {
  minute: string;
  events: number;
  sessions: number;
  unique_users: number;
  page_views: number;
  orders: number;
  revenue: number;
}

export interface Dependency {
  status: string;
  message?: string;
  state?: string;
  lag?: number;
  applied?: number;
  rebuilds?: number;
  evicts?: string;
}

/** `GET /health` */
export interface Health {
  status: string;
  version: string;
  dependencies: Record<string, Dependency | undefined>;
  engine: {
    node: string;
    seq: number;
    wal_bytes: number;
    buffer_rows: number;
    buffer_bytes: number;
    lake_version: number;
    lake_seq: number;
    lake_files: number;
    lake_rows: number;
    lake_bytes: number;
    dedup_bytes: number;
    queries: number;
    clock_step_ms: number;
    dead_letters: { open: number; fullness: number; bytes?: number } & Record<string, unknown>;
  };
}
