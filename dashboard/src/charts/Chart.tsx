// Time series, drawn by uPlot on a canvas. What it shows is also there as a table; the canvas has a sentence of its own.
import { useEffect, useRef } from "react";
import uPlot from "uplot";

import { useWidth } from "../lib/hooks";
import { colour, useShownTheme } from "../lib/theme";
import { clock, day } from "../lib/format";

export interface Line {
  label: string;
  values: (number | null)[];
  kind: "bars" | "line" | "area";
  /** A colour of the style sheet. */
  colour: string;
  dashed?: boolean;
  /** Drawn against a second scale, on the right. */
  second?: boolean;
}

export interface ChartProps {
  /** Milliseconds since 1970, ascending. */
  times: number[];
  lines: Line[];
  height?: number;
  zone: string;
  /** A value, in full and for the axis. */
  format: (value: number, line: number) => string;
  axis: (value: number) => string;
  secondAxis?: (value: number) => string;
  /** Said to those who do not see it. */
  label: string;
  /** Points that are whole days: their names are days. */
  days?: boolean;
  /** Called with the index of a point that is clicked. */
  onPick?: (index: number) => void;
  /** How a moment is named in the tooltip. */
  when?: (at: number, index: number) => string;
}

const AXIS_FONT = "11px ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

export function Chart(props: ChartProps) {
  const { times, lines, height = 200, label } = props;
  const [box, width] = useWidth<HTMLDivElement>();
  const plot = useRef<uPlot | null>(null);
  const tip = useRef<HTMLDivElement | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const theme = useShownTheme();
  const shape = lines.map((line) => `${line.label}|${line.kind}|${line.colour}|${line.dashed}|${line.second}`).join();

  useEffect(() => {
    const element = box.current;
    if (!element || width === 0) return;
    const made = new uPlot(options(latest, tip, width, height), data(latest.current), element);
    plot.current = made;
    return () => {
      plot.current = null;
      made.destroy();
    };
    // Values alone are set without a new drawing surface, below.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [width > 0, height, theme, shape, props.days, props.zone]);

  useEffect(() => {
    if (plot.current && width > 0 && plot.current.width !== width) plot.current.setSize({ width, height });
  }, [width, height]);

  useEffect(() => {
    plot.current?.setData(data(latest.current));
  }, [times, lines]);

  return (
    <div className="chart" style={{ height }}>
      <div ref={box} className="chart-box" role="img" aria-label={label} />
      <div ref={tip} className="chart-tip" hidden />
    </div>
  );
}

function data(props: ChartProps): uPlot.AlignedData {
  return [props.times.map((ms) => ms / 1_000), ...props.lines.map((line) => line.values)] as uPlot.AlignedData;
}

function options(
  props: React.RefObject<ChartProps>, tip: React.RefObject<HTMLDivElement | null>, width: number, height: number,
): uPlot.Options {
  const { lines, zone, days } = props.current;
  const ink = colour("faint");
  const grid = { stroke: colour("line"), width: 1 };
  const second = lines.some((line) => line.second);
  const bars = lines.filter((line) => line.kind === "bars").length;
  let bar = 0;
  return {
    width,
    height,
    padding: [8, second ? 0 : 8, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      points: { size: 7, width: 2, fill: colour("surface") },
      drag: { x: false, y: false },
      bind: {
        click: (u) => () => {
          if (typeof u.cursor.idx === "number") props.current.onPick?.(u.cursor.idx);
          return null;
        },
      },
    },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1_000), days ? "UTC" : zone),
    scales: {
      x: {
        time: true,
        range: (_u, min, max) => {
          const times = props.current.times;
          const step = times.length > 1 ? ((times.at(-1) ?? 0) - (times[0] ?? 0)) / (times.length - 1) / 1_000 : 60;
          return bars > 0 ? [min - step * 0.6, max + step * 0.6] : [min, max === min ? max + 1 : max];
        },
      },
      y: { range: (_u, min, max) => span(min, max) },
      second: { range: (_u, min, max) => span(min, max) },
    },
    axes: [
      {
        stroke: ink, font: AXIS_FONT, grid: { show: false }, ticks: { show: false }, size: 26, gap: 6, space: 64,
        values: (_u, ticks) => ticks.map((seconds) => tickName(seconds * 1_000, ticks, days ? "UTC" : zone)),
      },
      {
        stroke: ink, font: AXIS_FONT, grid, ticks: { show: false }, gap: 6, space: 38,
        size: (_u, values) => 14 + 6.4 * Math.max(3, ...(values ?? []).map((text) => text.length)),
        values: (_u, ticks) => ticks.map((value) => props.current.axis(value)),
      },
      ...(second
        ? [{
            scale: "second", side: 1 as const, stroke: ink, font: AXIS_FONT, grid: { show: false }, ticks: { show: false },
            gap: 6, space: 38, size: 52,
            values: (_u: uPlot, ticks: number[]) => ticks.map((value) => (props.current.secondAxis ?? props.current.axis)(value)),
          }]
        : []),
    ],
    series: [
      {},
      ...lines.map((line): uPlot.Series => {
        const paint = colour(line.colour);
        const base: uPlot.Series = {
          label: line.label, scale: line.second ? "second" : "y", spanGaps: false, stroke: paint, width: 1.75,
          points: { show: props.current.times.length < 3, size: 6 },
        };
        if (line.dashed) base.dash = [4, 4];
        if (line.kind === "bars") {
          const align = bars > 1 ? (bar++ === 0 ? -1 : 1) : 0;
          return {
            ...base, stroke: "transparent", width: 0, fill: paint, points: { show: false },
            paths: uPlot.paths.bars!({ size: [bars > 1 ? 0.36 : 0.7, 28, 1], radius: 0.18, align: align as 0 | 1 | -1 }),
          };
        }
        if (line.kind === "area") base.fill = `color-mix(in srgb, ${paint} 12%, transparent)`;
        return { ...base, paths: uPlot.paths.linear!() };
      }),
    ],
    hooks: { setCursor: [(u) => point(u, props.current, tip.current)] },
  };
}

function span(min: number | null, max: number | null): [number, number] {
  const low = Math.min(0, min ?? 0);
  const high = Math.max(0, max ?? 0);
  if (low === high) return [0, 1];
  return [low < 0 ? low * 1.08 : 0, high * 1.08];
}

function tickName(at: number, ticks: number[], zone: string): string {
  const step = ticks.length > 1 ? (ticks[1]! - ticks[0]!) * 1_000 : 0;
  if (step >= 80_000_000) return day(at, zone);
  const time = clock(at, zone, step > 0 && step < 60_000);
  return time === "00:00" ? day(at, zone) : time;
}

/** Moves the tooltip to the point under the pointer. */
function point(u: uPlot, props: ChartProps, tip: HTMLDivElement | null): void {
  const index = u.cursor.idx;
  if (!tip) return;
  if (index === null || index === undefined || (u.cursor.left ?? -1) < 0) {
    tip.hidden = true;
    return;
  }
  const at = props.times[index];
  if (at === undefined) return;
  const when = props.when?.(at, index) ?? (props.days ? day(at, "UTC") : `${day(at, props.zone)}, ${clock(at, props.zone)}`);
  tip.replaceChildren();
  const head = document.createElement("p");
  head.textContent = when;
  tip.append(head);
  props.lines.forEach((line, number) => {
    const value = line.values[index];
    const row = document.createElement("p");
    const dot = document.createElement("i");
    dot.style.background = colour(line.colour);
    const text = document.createElement("b");
    text.textContent = value === null || value === undefined ? "–" : props.format(value, number);
    row.append(dot, ` ${line.label} `, text);
    tip.append(row);
  });
  tip.hidden = false;
  const left = (u.cursor.left ?? 0) + u.bbox.left / devicePixelRatio;
  const flip = left > u.width - 190;
  tip.style.left = flip ? "auto" : `${left + 12}px`;
  tip.style.right = flip ? `${u.width - left + 12}px` : "auto";
}
