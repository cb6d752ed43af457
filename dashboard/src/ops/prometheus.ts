// Reads Prometheus' text format, as far as this server writes it.
export interface Sample {
  labels: Record<string, string>;
  value: number;
}

export function parse(text: string): Map<string, Sample[]> {
  const known = new Map<string, Sample[]>();
  for (const line of text.split("\n")) {
    const match = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? +(\S+)/.exec(line);
    if (!match || line.startsWith("#")) continue;
    const [, name = "", inside = "", value = ""] = match;
    const labels: Record<string, string> = {};
    for (const [, label = "", content = ""] of inside.matchAll(/([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g)) {
      labels[label] = content.replace(/\\(.)/g, (_, c: string) => (c === "n" ? "\n" : c));
    }
    known.set(name, [...(known.get(name) ?? []), { labels, value: Number(value) }]);
  }
  return known;
}
