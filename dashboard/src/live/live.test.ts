import { describe, expect, it } from "vitest";

import type { Kpi, MinutePoint, Tick } from "../lib/api";
import { address, readFilters, toggled } from "./filters";
import { filled, hasGap, withTick } from "./minutes";

const at = (minute: number) => new Date(Date.UTC(2026, 2, 1, 12, minute)).toISOString().replace(".000Z", "Z");
const point = (minute: number, events: number): MinutePoint =>
  ({ minute: at(minute), events, sessions: 0, unique_users: 0, page_views: 0, orders: 0, revenue: 0 });
const kpi = (minute: number, events: number) => ({ window_start: at(minute), metrics: point(minute, events) }) as unknown as Kpi;
const tick = (minute: number, latest: number, current: number) =>
  ({ kpis: { latest: kpi(minute - 1, latest), current: kpi(minute, current) } }) as Tick;

describe("the last hour", () => {
  it("takes the tick's two minutes in", () => {
    const series = withTick([point(0, 1), point(1, 2)], tick(1, 10, 20), 60);
    expect(series.map((p) => p.events)).toEqual([10, 20]);
  });

  it("goes on with the next minute and forgets the oldest", () => {
    const series = withTick([point(0, 1), point(1, 2)], tick(2, 22, 3), 2);
    expect(series.map((p) => p.events)).toEqual([22, 3]);
  });

  it("knows when minutes are missing", () => {
    expect(hasGap([point(1, 1)], tick(2, 1, 1))).toBe(false);
    expect(hasGap([point(1, 1)], tick(3, 1, 1))).toBe(false);
    expect(hasGap([point(1, 1)], tick(4, 1, 1))).toBe(true);
    expect(hasGap([], tick(2, 1, 1))).toBe(true);
  });

  it("has a zero for a minute without rows", () => {
    const series = filled([point(1, 5)], Date.parse(at(3)) + 20_000, 4);
    expect(series.map((p) => p.events)).toEqual([0, 5, 0, 0]);
  });
});

describe("filters", () => {
  it("stand in the address, whatever their text", () => {
    const filters = { page: "/a b?c=1&d", country: "DE" };
    expect(readFilters(new URL(address(filters), "http://x").searchParams)).toEqual(filters);
    expect(address({})).toBe("/");
  });

  it("are let go when picked again", () => {
    expect(toggled({ country: "DE" }, "country", "DE")).toEqual({});
    expect(toggled({ country: "DE" }, "country", "FR")).toEqual({ country: "FR" });
    expect(toggled({ country: "DE" }, "page", "/")).toEqual({ country: "DE", page: "/" });
  });
});
