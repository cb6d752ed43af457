import { describe, expect, it } from "vitest";

import type { Metric, MetricAnswer, Row } from "../lib/api";
import { curl, given, groups, missing, presetOf, requestPath } from "./request";
import { bars, firstMeasure, heat, series } from "./shape";

const answer = (meta: MetricAnswer["meta"], data: Row[], params: Row = {}): MetricAnswer =>
  ({ metric: "m", params, meta, data, rows: data.length, freshness: { through: "", lake_version: 1, buffered_rows: 0 } });

const DAY = { name: "day", type: "Date32", unit: "date" };
const NET = { name: "net", type: "Decimal128(38,4)", unit: "money" };
const PERIOD = { name: "period", type: "Utf8" };

describe("series", () => {
  it("has every day of the range: a quiet one is a zero", () => {
    const made = series(answer([DAY, NET], [{ day: "2026-03-02", net: 5 }, { day: "2026-03-03", net: 6 }], { start: "2026-03-01", end: "2026-03-04" }), "net");
    expect(made?.days).toBe(true);
    expect(made?.lines[0]?.values).toEqual([0, 5, 6, 0]);
  });

  it("leaves a rate out where there was none", () => {
    const rate = { name: "rate", type: "Float64", unit: "ratio" };
    const made = series(answer([DAY, rate], [{ day: "2026-03-02", rate: 0.5 }], { start: "2026-03-01", end: "2026-03-02" }), "rate");
    expect(made?.lines[0]?.values).toEqual([null, 0.5]);
  });

  it("moves the range before onto this one, day by day", () => {
    const rows = [
      { day: "2026-03-03", net: 1, period: "current" }, { day: "2026-03-04", net: 2, period: "current" },
      { day: "2026-03-01", net: 10, period: "previous" }, { day: "2026-03-02", net: 20, period: "previous" },
    ];
    const made = series(answer([PERIOD, DAY, NET], rows, { start: "2026-03-03", end: "2026-03-04" }), "net");
    expect(made?.lines).toEqual([
      { name: "net", previous: false, values: [1, 2] },
      { name: "net", previous: true, values: [10, 20] },
    ]);
  });

  it("draws a line for each group, the largest first", () => {
    const meta = [{ name: "bucket_start", type: "Timestamp(UTC)" }, { name: "event_type", type: "Utf8" }, { name: "events", type: "Int64", unit: "count" }];
    const rows = [
      { bucket_start: "2026-03-01T00:00:00.000Z", event_type: "a", events: 1 },
      { bucket_start: "2026-03-01T00:00:00.000Z", event_type: "b", events: 5 },
      { bucket_start: "2026-03-01T00:01:00.000Z", event_type: "b", events: 6 },
    ];
    const made = series(answer(meta, rows), "events");
    expect(made?.lines.map((line) => [line.name, line.values])).toEqual([["b", [5, 6]], ["a", [1, 0]]]);
  });

  it("is none without a column of time", () => {
    expect(series(answer([{ name: "name", type: "Utf8" }, NET], [{ name: "x", net: 1 }]), "net")).toBeNull();
  });
});

describe("other shapes", () => {
  it("sets bars beside what they were", () => {
    const rows = [{ period: "current", name: "DE", net: 4 }, { period: "current", name: null, net: 1 }, { period: "previous", name: "DE", net: 2 }];
    expect(bars(answer([PERIOD, { name: "name", type: "Utf8" }, NET], rows), "net")).toEqual([
      { name: "DE", value: 4, previous: 2 }, { name: "unknown", value: 1, previous: null },
    ]);
  });

  it("makes a grid of two names and a value", () => {
    const meta = [{ name: "cohort", type: "Date32" }, { name: "period_number", type: "Int64" }, { name: "customers", type: "Int64", unit: "count" }];
    const rows = [{ cohort: "2026-01-01", period_number: 10, customers: 3 }, { cohort: "2026-01-01", period_number: 2, customers: 7 }];
    const made = heat(answer(meta, rows), "customers");
    expect([made?.columns, made?.most]).toEqual([["2", "10"], 7]);
    expect(made?.value("2026-01-01", "2")).toBe(7);
    expect(made?.value("2026-01-01", "3")).toBeNull();
  });

  it("shows first what people mean", () => {
    expect(firstMeasure([DAY, { name: "gross", type: "Decimal128(38,4)", unit: "money" }, NET])).toBe("net");
    expect(firstMeasure([{ name: "n", type: "Int64" }])).toBe("n");
    expect(firstMeasure([DAY])).toBeUndefined();
  });
});

describe("requests", () => {
  const metric: Metric = {
    name: "sales/daily", path: "/analytics/sales/daily", paths: [], summary: "", description: "", compare: true, columns: [], chart: "bars",
    cache_seconds: 10, sql: "",
    params: [
      { name: "start", type: "date", required: false, default: "-29d" },
      { name: "end", type: "date", required: false, default: "today" },
      { name: "page", type: "string", required: true, doc: "the page" },
    ],
  };

  it("take from the address what is theirs", () => {
    const values = given(metric, new URLSearchParams("start=-6d&page=/a&_view=table&foreign=1&compare=previous"));
    expect(values).toEqual({ start: "-6d", page: "/a", compare: "previous" });
    expect(requestPath(metric, values, "csv")).toBe("/analytics/sales/daily.csv?start=-6d&page=%2Fa&compare=previous");
  });

  it("know what is missing, and which preset a range is", () => {
    expect(missing(metric, {}).map((p) => p.name)).toEqual(["page"]);
    expect(presetOf(metric, {})).toBe("30 days");
    expect(presetOf(metric, { start: "-6d" })).toBe("7 days");
    expect(presetOf(metric, { start: "2026-01-01" })).toBeUndefined();
  });

  it("are written for a shell, quotes and all", () => {
    expect(curl("http://h", metric, { page: "it's" }, true)).toBe(
      "curl -G 'http://h/analytics/sales/daily' \\\n  -H \"Authorization: Bearer $TIDELINE_KEY\" \\\n  --data-urlencode 'page=it'\\''s'",
    );
  });

  it("are grouped by the first part of their name", () => {
    expect(groups([{ ...metric, name: "b/x" }, metric, { ...metric, name: "alone" }]).map(([name]) => name)).toEqual(["sales", "b", "other"]);
  });
});
