import { describe, expect, it } from "vitest";

import { bytes, cell, change, heading, milliseconds, span, toNumber, zoneOffset } from "./format";

const place = { zone: "Europe/Berlin", currency: "EUR" };

describe("values", () => {
  it("stands a dash where there is none", () => {
    expect(cell(null, "money", place)).toBe("–");
    expect(cell(undefined, "count", place)).toBe("–");
    expect(cell(0, "count", place)).toBe("0");
  });

  it("reads decimals that come as text, and leaves other text alone", () => {
    expect(toNumber("12.5000")).toBe(12.5);
    expect(toNumber("")).toBeNull();
    expect(toNumber("12 EUR")).toBeNull();
    expect(cell("n/a", "money", place)).toBe("n/a");
  });

  it("shows money in the shop's currency, also one nobody knows", () => {
    expect(cell(12.5, "money", place)).toMatch(/12[.,]50/);
    expect(cell(12.5, "money", { ...place, currency: "?" })).toContain("?");
  });

  it("shows a moment in the shop's time zone, and a day as the day it is", () => {
    expect(cell("2026-03-01T23:30:00.000Z", "timestamp", place)).toMatch(/2.*00:30/);
    expect(cell("2026-03-01", "date", place)).toMatch(/1/);
  });

  it("knows the zone's offset on both sides of a clock change", () => {
    expect(zoneOffset(Date.parse("2026-03-28T12:00:00Z"), "Europe/Berlin")).toBe(3_600);
    expect(zoneOffset(Date.parse("2026-03-30T12:00:00Z"), "Europe/Berlin")).toBe(7_200);
  });

  it("scales sizes and times", () => {
    expect(bytes(0)).toBe("0 B");
    expect(bytes(1536)).toBe("1.5 KiB");
    expect(bytes(3 * 2 ** 30)).toBe("3 GiB");
    expect(milliseconds(0.25)).toBe("0.25 ms");
    expect(milliseconds(1_500)).toBe("1.5 s");
    expect(span(61_000)).toBe("1 min");
    expect(span(39_600_000)).toBe("11 h");
    expect(span(-5)).toBe("0 s");
  });

  it("has no change against nothing", () => {
    expect(change(5, 0)).toBeNull();
    expect(change(5, null)).toBeNull();
    expect(change(null, 5)).toBeNull();
    expect(change(150, 100)).toBeCloseTo(0.5);
    expect(change(50, 100)).toBeCloseTo(-0.5);
  });

  it("names columns for people", () => {
    expect(heading("order_value")).toBe("Order value");
    expect(heading("aov")).toBe("AOV");
  });
});
