// EXPLAIN's text as a tree: what each operator is, what it made, how long it computed.
export interface PlanNode {
  depth: number;
  name: string;
  detail: string;
  rows: string | null;
  ms: number | null;
  metrics: Record<string, string>;
}

const UNITS: Record<string, number> = { ns: 1e-6, "µs": 1e-3, "μs": 1e-3, us: 1e-3, ms: 1, s: 1_000, m: 60_000 };

/** "49.61ms" in milliseconds; null where it is no time. */
export function duration(text: string | undefined): number | null {
  const match = /^([\d.]+)\s*(ns|µs|μs|us|ms|s|m)$/.exec(text ?? "");
  return match ? Number(match[1]) * (UNITS[match[2]!] ?? 1) : null;
}

/** `a=1, b=[x, y]`, cut at the commas of the outermost level. */
function parts(text: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at < text.length; at += 1) {
    if ("([{".includes(text[at]!)) depth += 1;
    else if (")]}".includes(text[at]!)) depth -= 1;
    else if (text[at] === "," && depth === 0) {
      found.push(text.slice(from, at).trim());
      from = at + 1;
    }
  }
  found.push(text.slice(from).trim());
  return found.filter(Boolean);
}

export function parsePlan(text: string): PlanNode[] {
  return text.split("\n").filter((line) => line.trim() !== "").map((line) => {
    const indent = line.length - line.trimStart().length;
    const body = line.trim();
    const begin = body.lastIndexOf("metrics=[");
    const inside = begin >= 0 ? body.slice(begin + 9).replace(/\]$/, "") : "";
    const head = begin >= 0 ? body.slice(0, begin).replace(/,\s*$/, "") : body;
    const split = /^([A-Za-z]\w*)(?::\s*|,\s*|$)(.*)$/.exec(head);
    const metrics: Record<string, string> = {};
    for (const part of parts(inside)) {
      const equals = part.indexOf("=");
      if (equals > 0) metrics[part.slice(0, equals)] = part.slice(equals + 1);
    }
    return {
      depth: Math.floor(indent / 2),
      name: split?.[1] ?? head,
      detail: split?.[2] ?? "",
      rows: metrics["output_rows"] ?? null,
      ms: duration(metrics["elapsed_compute"]),
      metrics,
    };
  });
}
