// Values as people read them: in the shop's currency and time zone, in the reader's language.

export type Unit = "money" | "count" | "ratio" | "date" | "timestamp" | "milliseconds" | "days" | "rate" | "bytes" | "text";

/** What stands where there is no value. */
export const NONE = "–";

const cache = new Map<string, Intl.NumberFormat | Intl.DateTimeFormat>();

function numberFormat(options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = `n${JSON.stringify(options)}`;
  let format = cache.get(key) as Intl.NumberFormat | undefined;
  if (!format) cache.set(key, (format = new Intl.NumberFormat(undefined, options)));
  return format;
}

function dateFormat(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `d${JSON.stringify(options)}`;
  let format = cache.get(key) as Intl.DateTimeFormat | undefined;
  if (!format) cache.set(key, (format = new Intl.DateTimeFormat(undefined, options)));
  return format;
}

/** A number where the value is one: decimals come as text from /sql. */
export function toNumber(value: unknown): number | null {
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (typeof value === "string" && value.trim() !== "" && Number.isFinite(Number(value))) return Number(value);
  return null;
}

export const count = (value: number): string => numberFormat({ maximumFractionDigits: 0 }).format(value);

/** For axes: 12K, 1.5M. */
export const compact = (value: number): string =>
  numberFormat({ notation: "compact", maximumFractionDigits: 1 }).format(value);

export function decimal(value: number, digits = 2): string {
  return numberFormat({ maximumFractionDigits: digits }).format(value);
}

export function money(value: number, currency: string, short = false): string {
  // From 10,000 on nobody reads cents in large digits.
  const digits = short && Math.abs(value) >= 10_000 ? { maximumFractionDigits: 0 } : {};
  try {
    return numberFormat({ style: "currency", currency, currencyDisplay: "narrowSymbol", ...digits }).format(value);
  } catch {
    return `${decimal(value)} ${currency}`;
  }
}

export function moneyCompact(value: number, currency: string): string {
  try {
    return numberFormat({
      style: "currency", currency, currencyDisplay: "narrowSymbol", notation: "compact", maximumFractionDigits: 1,
    }).format(value);
  } catch {
    return compact(value);
  }
}

export const percent = (value: number, digits = 1): string =>
  numberFormat({ style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${numberFormat({ maximumFractionDigits: at === 0 || value >= 100 ? 0 : 1 }).format(value)} ${units[at]}`;
}

export function milliseconds(ms: number): string {
  if (ms < 1) return `${decimal(ms, 2)} ms`;
  if (ms < 1_000) return `${decimal(ms, ms < 10 ? 1 : 0)} ms`;
  if (ms < 60_000) return `${decimal(ms / 1_000, 1)} s`;
  if (ms < 3_600_000) return `${decimal(ms / 60_000, 1)} min`;
  if (ms < 86_400_000) return `${decimal(ms / 3_600_000, 1)} h`;
  return `${decimal(ms / 86_400_000, 1)} d`;
}

/** How long: "12 s", "4 min", "11 h", "3 d". */
export function span(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1_000));
  if (s < 60) return `${s} s`;
  if (s < 3_600) return `${Math.round(s / 60)} min`;
  if (s < 172_800) return `${Math.round(s / 3_600)} h`;
  return `${Math.round(s / 86_400)} d`;
}

export const clock = (at: number | Date, zone: string, seconds = false): string =>
  dateFormat({ hour: "2-digit", minute: "2-digit", ...(seconds ? { second: "2-digit" } : {}), hourCycle: "h23", timeZone: zone })
    .format(at);

export const day = (at: number | Date, zone: string): string =>
  dateFormat({ day: "numeric", month: "short", timeZone: zone }).format(at);

export const moment = (at: number | Date, zone: string): string =>
  dateFormat({ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZone: zone })
    .format(at);

/** A calendar day that is no moment: `2026-03-01`. */
export function calendarDay(text: string): string {
  const at = Date.parse(`${text.slice(0, 10)}T00:00:00Z`);
  return Number.isNaN(at) ? text : dateFormat({ weekday: "short", day: "numeric", month: "short", timeZone: "UTC" }).format(at);
}

/** Seconds of the zone ahead of UTC at that moment. */
export function zoneOffset(at: number, zone: string): number {
  const parts = dateFormat({
    year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric",
    hourCycle: "h23", timeZone: zone,
  }).formatToParts(at);
  const part = (type: string) => Number(parts.find((p) => p.type === type)?.value ?? 0);
  const local = Date.UTC(part("year"), part("month") - 1, part("day"), part("hour"), part("minute"), part("second"));
  return Math.round((local - Math.floor(at / 1_000) * 1_000) / 1_000);
}

export interface Place {
  zone: string;
  currency: string;
}

/** A cell, by the unit that its metric's header names. */
export function cell(value: unknown, unit: string | null | undefined, place: Place): string {
  if (value === null || value === undefined || value === "") return NONE;
  const number = toNumber(value);
  switch (unit) {
    case "money":
      return number === null ? String(value) : money(number, place.currency);
    case "count":
      return number === null ? String(value) : count(number);
    case "ratio":
      return number === null ? String(value) : percent(number);
    case "milliseconds":
      return number === null ? String(value) : milliseconds(number);
    case "bytes":
      return number === null ? String(value) : bytes(number);
    case "days":
    case "rate":
      return number === null ? String(value) : decimal(number, 2);
    case "date":
      return calendarDay(String(value));
    case "timestamp": {
      const at = Date.parse(String(value));
      return Number.isNaN(at) ? String(value) : moment(at, place.zone);
    }
    default:
      if (typeof value === "number") return decimal(value, 4);
      if (typeof value === "object") return JSON.stringify(value);
      return String(value);
  }
}

/** The relative change, and whether there is one to speak of. */
export function change(now: number | null | undefined, before: number | null | undefined): number | null {
  if (now === null || now === undefined || !before) return null;
  return (now - before) / Math.abs(before);
}

/** `order_value` as a heading: "Order value". */
export function heading(name: string): string {
  const special: Record<string, string> = { aov: "AOV", ltv: "LTV", ms_p50: "Median", ms_p90: "90th percentile" };
  const known = special[name];
  if (known) return known;
  const text = name.replaceAll("_", " ").trim();
  return text.charAt(0).toUpperCase() + text.slice(1);
}
