// Any metric of the catalogue, over any range. The address holds all of it.
import { useEffect, useRef, useState } from "react";

import { type Catalogue, type Metric, type MetricAnswer, type Param, type Row, get } from "../lib/api";
import { useApp } from "../context";
import { calendarDay, heading, moment } from "../lib/format";
import { useAsk } from "../lib/hooks";
import { go, placeWith, usePlace } from "../lib/route";
import { Icon } from "../ui/icons";
import { Card, Choice, Code, Empty, Link, Trouble, Waiting, sentence } from "../ui/parts";
import { MetricChart, MetricTable } from "./MetricView";
import { MEASURE, PRESETS, VIEW, curl, given, groups, hasDayRange, missing, presetOf, requestPath } from "./request";
import { firstMeasure, measures } from "./shape";

export default function HistoryPage() {
  const place = usePlace();
  const catalogue = useAsk("catalogue", (signal) => get<Catalogue>("/analytics", signal));
  if (catalogue.error && !catalogue.data) return <Trouble problem={catalogue.error} again={catalogue.again} />;
  if (!catalogue.data) return <Card><Waiting rows={8} /></Card>;
  const { metrics } = catalogue.data;
  const name = decodeURIComponent(place.path.slice("/history/".length)) || "sales/daily";
  const metric = metrics.find((m) => m.name === name);
  return (
    <div className="history">
      <MetricList metrics={metrics} current={name} />
      <div className="metric">
        <label className="catalogue-pick">
          Metric
          <select value={name} onChange={(event) => go(`/history/${event.target.value}`)}>
            {groups(metrics).map(([group, list]) => (
              <optgroup key={group} label={heading(group)}>
                {list.map((m) => <option key={m.name} value={m.name}>{m.summary}</option>)}
              </optgroup>
            ))}
          </select>
        </label>
        {metric ? <MetricPage key={metric.name} metric={metric} /> : (
          <Empty hint={<Link to="/history/sales/daily">Sales by day</Link>}>There is no metric called {name}</Empty>
        )}
      </div>
    </div>
  );
}

function MetricList({ metrics, current }: { metrics: Metric[]; current: string }) {
  const list = useRef<HTMLElement>(null);
  useEffect(() => {
    list.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }, [current]);
  return (
    <nav className="catalogue" aria-label="Metrics" ref={list}>
      {groups(metrics).map(([group, list]) => (
        <section key={group}>
          <h2>{heading(group)}</h2>
          <ul>
            {list.map((metric) => (
              <li key={metric.name}><Link to={`/history/${metric.name}`} current={metric.name === current}>{metric.summary}</Link></li>
            ))}
          </ul>
        </section>
      ))}
    </nav>
  );
}

function MetricPage({ metric }: { metric: Metric }) {
  const place = usePlace();
  const { session, place: shop } = useApp();
  const values = given(metric, place.query);
  const lacking = missing(metric, values);
  const path = requestPath(metric, values);
  const asked = useAsk(lacking.length === 0 ? path : null, (signal) => get<MetricAnswer>(path, signal));
  const kind = metric.chart ?? "table";
  const view = place.query.get(VIEW) === "table" || kind === "table" ? "table" : "chart";
  const names = measures(metric.columns).map((c) => c.name);
  const wanted = place.query.get(MEASURE);
  const measure = wanted && names.includes(wanted) ? wanted : firstMeasure(metric.columns);
  const picksMeasure = view === "chart" && (kind === "bars" || kind === "line" || kind === "heatmap") && names.length > 1;
  const answer = asked.data;
  return (
    <>
      <header className="metric-head">
        <div>
          <h1>{metric.summary}</h1>
          {metric.description.trim().split(/\n\s*\n/).map((text) => text && <p key={text} className="note">{text}</p>)}
          {metric.warning && <p className="field-problem">{sentence(metric.warning)}</p>}
        </div>
      </header>
      <Params metric={metric} values={values} used={asked.data?.params ?? {}} />
      <Card busy={asked.busy}>
        <div className="metric-tools">
          <div className="chips">
            {picksMeasure && (
              <label className="note">
                Show{" "}
                <select value={measure} aria-label="Measure" onChange={(event) => go(placeWith(place, { [MEASURE]: event.target.value }), true)}>
                  {names.map((name) => <option key={name} value={name}>{heading(name)}</option>)}
                </select>
              </label>
            )}
            {answer && <Range answer={answer} zone={shop.zone} />}
          </div>
          <div className="chips">
            {kind !== "table" && (
              <Choice label="View" value={view} options={[{ value: "chart", label: "Chart" }, { value: "table", label: "Table" }]}
                onChange={(next) => go(placeWith(place, { [VIEW]: next === "table" ? "table" : undefined }), true)} />
            )}
            {lacking.length === 0 && ["csv", "parquet"].map((format) => (
              <a key={format} className="button" href={requestPath(metric, values, format)} download={`${metric.name.replaceAll("/", "-")}.${format}`}>
                <Icon name="down" size={14} /> {format === "csv" ? "CSV" : "Parquet"}
              </a>
            ))}
          </div>
        </div>
        {lacking.length > 0 ? (
          <Empty hint={sentence(lacking.map((p) => p.doc ?? p.name).join(", "))}>This metric needs {lacking.map((p) => p.name).join(" and ")}</Empty>
        ) : asked.error ? <Trouble problem={asked.error} again={asked.again} />
          : !answer ? <Waiting rows={7} />
          : answer.rows === 0 ? <Empty hint="Choose a longer range, or fewer filters.">Nothing in this range</Empty>
          : view === "table" ? <MetricTable answer={answer} /> : <MetricChart answer={answer} kind={kind} measure={measure} />}
      </Card>
      <Card className="metric-foot">
        <h2>The same elsewhere</h2>
        <details>
          <summary>For a terminal</summary>
          <Code label="curl command" text={curl(window.location.origin, metric, values, session.by !== "local")} />
        </details>
        <details>
          <summary>Its SQL</summary>
          <Code label="SQL of the metric" text={metric.sql.trim()} />
        </details>
        {answer && <p className="note">{answer.rows} {answer.rows === 1 ? "row" : "rows"} · data through {moment(Date.parse(answer.freshness.through), shop.zone)} · lake version {answer.freshness.lake_version}, {answer.freshness.buffered_rows} events not yet in it</p>}
      </Card>
    </>
  );
}

function Range({ answer, zone }: { answer: MetricAnswer; zone: string }) {
  const { start, end, at } = answer.params as Record<string, string | undefined>;
  const named = (text: string) => (text.length === 10 ? calendarDay(text) : moment(Date.parse(text), zone));
  if (start && end) return <span className="note">{start === end ? named(start) : `${named(start)} to ${named(end)}`}</span>;
  if (at) return <span className="note">as of {named(at)}</span>;
  return null;
}

function Params({ metric, values, used }: { metric: Metric; values: Record<string, string>; used: Row }) {
  const place = usePlace();
  const set = (changes: Record<string, string | undefined>) => go(placeWith(place, changes), true);
  const ranged = hasDayRange(metric);
  const preset = presetOf(metric, values);
  const [custom, setCustom] = useState(false);
  const showsCustom = ranged && (custom || !preset);
  const others = metric.params.filter((p) => !(ranged && (p.name === "start" || p.name === "end")));
  if (metric.params.length === 0) return null;
  return (
    <div className="params">
      {ranged && (
        <Choice label="Range" value={showsCustom ? "custom" : (preset ?? "custom")}
          options={[...PRESETS.map((p) => ({ value: p.label, label: p.label })), { value: "custom", label: "Custom" }]}
          onChange={(label) => {
            const chosen = PRESETS.find((p) => p.label === label);
            setCustom(!chosen);
            if (chosen) set({ start: chosen.start, end: chosen.end });
          }} />
      )}
      {showsCustom && (
        <div className="range">
          <DayField label="From" value={values["start"] ?? ""} used={String(used["start"] ?? "")} onChange={(start) => set({ start })} />
          <DayField label="To" value={values["end"] ?? ""} used={String(used["end"] ?? "")} onChange={(end) => set({ end })} />
        </div>
      )}
      {metric.compare && (
        <label className="check">
          <input type="checkbox" checked={values["compare"] === "previous"} onChange={(event) => set({ compare: event.target.checked ? "previous" : undefined })} />
          Compare with the range before
        </label>
      )}
      {others.map((param) => <ParamField key={param.name} param={param} value={values[param.name] ?? ""} onChange={(value) => set({ [param.name]: value })} />)}
    </div>
  );
}

/** A day as it was given, else as the answer took it. */
function DayField({ label, value, used, onChange }: { label: string; value: string; used: string; onChange: (value: string) => void }) {
  const shown = [value, used].find((text) => /^\d{4}-\d{2}-\d{2}$/.test(text)) ?? "";
  return (
    <label>
      {label}
      <input type="date" value={shown} onChange={(event) => event.target.value && onChange(event.target.value)} />
    </label>
  );
}

function ParamField({ param, value, onChange }: { param: Param; value: string; onChange: (value: string) => void }) {
  const [typed, setTyped] = useState<string | null>(null);
  const shown = typed ?? value;
  const options = param.type === "boolean" ? ["true", "false"] : param.type === "enum" ? param.values : undefined;
  if (options) {
    return (
      <label title={param.doc}>
        {heading(param.name)}
        <select value={value || param.default || ""} onChange={(event) => onChange(event.target.value === param.default ? "" : event.target.value)}>
          {!param.default && <option value="">any</option>}
          {options.map((option) => <option key={option} value={option}>{option.replaceAll("_", " ")}</option>)}
        </select>
      </label>
    );
  }
  const commit = () => {
    if (typed !== null && typed !== value) onChange(typed.trim());
    setTyped(null);
  };
  const small = param.type === "integer" || param.type === "duration" || param.type === "decimal";
  return (
    <label title={param.doc}>
      {heading(param.name)}{param.required && " *"}
      <input className={small ? "small" : ""} inputMode={param.type === "integer" ? "numeric" : "text"} value={shown} placeholder={param.default ?? (param.required ? "" : "any")}
        required={param.required} onChange={(event) => setTyped(event.target.value)} onBlur={commit} onKeyDown={(event) => event.key === "Enter" && commit()} />
    </label>
  );
}
