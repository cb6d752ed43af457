import { describe, expect, it } from "vitest";

import { parse } from "../ops/prometheus";
import { ROW_HEIGHT, sorted, visible } from "./grid";
import { duration, parsePlan } from "./plan";

describe("a plan", () => {
  const text = `SortExec: expr=[n@1 DESC], metrics=[output_rows=10, elapsed_compute=250µs, output_bytes=414.0 B]
  AggregateExec: mode=Final, gby=[a@0 as a, b@1 as b], metrics=[output_rows=81.80 K, elapsed_compute=49.61ms, reduction_factor=0.02% (18/81.80 K)]
    DataSourceExec: file_groups={1 group: [[x.parquet:0..27, ...]]}, metrics=[]
    CoalescePartitionsExec`;

  it("is a tree with figures", () => {
    const nodes = parsePlan(text);
    expect(nodes.map((node) => [node.depth, node.name, node.rows, node.ms])).toEqual([
      [0, "SortExec", "10", 0.25], [1, "AggregateExec", "81.80 K", 49.61], [2, "DataSourceExec", null, null], [2, "CoalescePartitionsExec", null, null],
    ]);
    expect(nodes[1]!.detail).toBe("mode=Final, gby=[a@0 as a, b@1 as b]");
    expect(nodes[1]!.metrics["reduction_factor"]).toBe("0.02% (18/81.80 K)");
  });

  it("reads times and nothing else", () => {
    expect([duration("841ns"), duration("2.83ms"), duration("1.5s"), duration("12"), duration(undefined)]).toEqual([expect.closeTo(0.000841, 9), 2.83, 1_500, null, null]);
  });
});

describe("the grid", () => {
  it("has few of many rows in the document", () => {
    const { first, last } = visible(5_000 * ROW_HEIGHT, 480, 10_000);
    expect(first).toBeLessThanOrEqual(5_000);
    expect(last).toBeGreaterThanOrEqual(5_016);
    expect(last - first).toBeLessThan(60);
    expect(visible(0, 480, 3)).toEqual({ first: 0, last: 3 });
  });

  it("sorts numbers as numbers, and nulls last both ways", () => {
    const rows = [{ n: "10.0" }, { n: null }, { n: "9.5" }];
    const order = (down: boolean) => sorted(rows, { name: "n", down }, true).map((row) => row["n"]);
    expect(order(false)).toEqual(["9.5", "10.0", null]);
    expect(order(true)).toEqual(["10.0", "9.5", null]);
    expect(sorted(rows, null, true)).toBe(rows);
  });
});

describe("gauges", () => {
  it("are read with their labels", () => {
    const known = parse('# HELP a Text.\n# TYPE a gauge\na 12\nb{code="x",why="a \\"b\\""} 3.5\nb{code="y"} NaN\nnonsense');
    expect(known.get("a")).toEqual([{ labels: {}, value: 12 }]);
    expect(known.get("b")?.[0]).toEqual({ labels: { code: "x", why: 'a "b"' }, value: 3.5 });
    expect(known.size).toBe(2);
  });
});
