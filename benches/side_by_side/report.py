"""Turns the results into a page for people."""

import math

LANES = ["tideline", "duckdb parquet", "chdb parquet", "duckdb table", "chdb mergetree"]


def page(results: dict) -> str:
    machine = results["machine"]
    lines = [
        "# Side by side",
        "",
        f"{results['date']}, Tideline {results['tideline']} ({results['build']} build), DuckDB {machine['duckdb']}, chDB {machine['chdb']}; "
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']}. "
        f"Seed {results['seed']}. Everything ran on this one machine, the load client included.",
        "",
    ]
    for title, key, part in (
        ("JSON to durable columnar", "ingest", ingest),
        ("Acknowledgements", "acknowledgements", acknowledgements),
        ("Restart", "restart", restart),
        ("Loading the events of the query suite", "query_load", query_load),
        ("Queries", "queries", queries),
    ):
        if key in results:
            lines += [f"## {title}", "", *part(results[key]), ""]
    return "\n".join(lines)


def row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def ingest(result: dict) -> list[str]:
    """Ingest of each engine, medians of the runs."""
    lines = [
        row("", "events/s", "events per CPU second", "peak memory, MiB", "bytes per event at rest"),
        row("---", "---:", "---:", "---:", "---:"),
    ]
    for name, runs in result.items():
        middle = sorted(runs, key=lambda run: run["events_per_second"])[len(runs) // 2]
        lines.append(row(name, f"{middle['events_per_second']:,.0f}", f"{middle['events_per_cpu_second']:,.0f}",
                         f"{middle['peak_mib']:,.0f}", f"{middle['bytes_per_event']:.1f}"))
    runs = result["tideline"]
    rates = ", ".join(f"{run['events_per_second']:,.0f}" for run in runs)
    last = runs[-1]
    compaction = last["compaction"]
    lines += [
        "",
        f"{last['events']:,} events. Tideline's over HTTP, each request acknowledged when durable, and flushed to "
        f"the lake at the end; runs: {rates} events/s. Processor time is the server's; the load client shares the "
        "machine, so events/s are below what a server alone would do. Acknowledgements at full load: "
        f"p50 {last['posting']['acknowledged']['p50_ms']:.1f} ms, p99 {last['posting']['acknowledged']['p99_ms']:.1f} "
        f"ms. Compaction, apart: {compaction['seconds']:.1f} s, {compaction['cpu_seconds']:.1f} CPU seconds, "
        f"{last['files']} files to {compaction['files']}, {compaction['bytes_per_event']:.1f} bytes per event after it "
        "(sorted over the whole day, zstd 3).",
    ]
    return lines


def acknowledgements(result: dict) -> list[str]:
    a = result["acknowledged"]
    return [
        f"{result['rate']:,} events/s offered in batches of {result['batch']} at fixed times, {result['events']:,} "
        f"events, latency from the due time: p50 {a['p50_ms']:.2f} ms, p90 {a['p90_ms']:.2f} ms, "
        f"p99 {a['p99_ms']:.2f} ms, p99.9 {a['p999_ms']:.2f} ms, longest {a['max_ms']:.1f} ms; "
        f"{result['events_per_second']:,.0f} events/s taken, {result['retries']} requests sent again.",
    ]


def restart(result: dict) -> list[str]:
    times = ", ".join(f"{seconds:.2f}" for seconds in result["ready_seconds"])
    return [f"Killed with {result['wal_mib']:.0f} MiB of write-ahead log ({result['events']:,} events): ready to answer "
            f"after {times} s."]


def query_load(result: dict) -> list[str]:
    return [f"{result['events']:,} events over HTTP: {result['events_per_second']:,.0f} events/s, "
            f"{result['events_per_cpu_second']:,.0f} per CPU second, peak memory of the server "
            f"{result['peak_mib']:,.0f} MiB while loading, {result['compaction']['peak_mib']:,.0f} MiB with compaction; "
            f"{result['bytes_per_event']:.1f} bytes per event at rest as flushed, "
            f"{result['compaction']['bytes_per_event']:.1f} compacted."]


def queries(result: dict) -> list[str]:
    """One line a query: medians, spread of ours, and the ratio to the better of the two on the same Parquet."""
    lanes = [lane for lane in LANES if any(lane in query["ms"] for query in result["suite"])]
    lines = [
        f"{result['events']:,} events in {result['files']} Parquet files, warm, in turns; milliseconds, medians, for "
        "Tideline with the fastest and slowest run. Ratio: Tideline to the better of DuckDB and chDB on the same "
        "Parquet; below 1 is faster.",
        "",
        row("query", *lanes, "ratio", "ratio to their tables"),
        row("---", *["---:"] * (len(lanes) + 2)),
    ]
    ratios, own = [], []
    for query in result["suite"]:
        ms = {lane: query["ms"][lane]["median"] for lane in lanes if lane in query["ms"]}
        cells = [f"{ms[lane]:.1f}" if lane in ms else "–" for lane in lanes]
        if "tideline" in ms:
            spread = query["ms"]["tideline"]
            cells[0] += f" ({spread['min']:.1f}–{spread['max']:.1f})"
        lines.append(row(query["title"], *cells, _ratio(ms, ("parquet",), ratios),
                         _ratio(ms, ("table", "mergetree"), own)))
    if ratios:
        lines += ["", f"Geometric mean of the ratios: {_mean(ratios):.2f}, the largest {max(ratios):.2f}."]
    if own:
        lines += [f"To the better of their own tables: {_mean(own):.2f}, the largest {max(own):.2f}."]
    wrong = [(q["title"], lane, text) for q in result["suite"] for lane, text in q["differences"].items()]
    lines += ["", "All engines gave the same answers." if not wrong else "Answers differ:"]
    lines += [f"- {title}, {lane}: {text}" for title, lane, text in wrong]
    failed = [(q["title"], lane, text) for q in result["suite"] for lane, text in q["errors"].items()]
    lines += [f"- {title}: {lane} failed: {text}" for title, lane, text in failed]
    return lines


def _ratio(ms: dict[str, float], kinds: tuple[str, ...], ratios: list[float]) -> str:
    """Tideline's time against the best lane of those kinds, noted in `ratios`."""
    others = [value for lane, value in ms.items() if lane.endswith(kinds)]
    if "tideline" not in ms or not others:
        return "–"
    ratios.append(ms["tideline"] / min(others))
    return f"{ratios[-1]:.2f}"


def _mean(ratios: list[float]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))
