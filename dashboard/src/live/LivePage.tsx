// What happens in the shop, now. Everything is pushed; what is narrowed by a click comes from SQL every few seconds.
import { useState } from "react";

import type { Tick } from "../lib/api";
import { BarList } from "../charts/BarList";
import { Chart } from "../charts/Chart";
import { Funnel } from "../charts/Funnel";
import { Spark } from "../charts/Spark";
import * as f from "../lib/format";
import type { LiveState } from "../lib/live";
import { go, usePlace } from "../lib/route";
import { useApp } from "../context";
import { Icon } from "../ui/icons";
import { Card, Choice, Empty, Trouble, Waiting, sentence } from "../ui/parts";
import { type Board, type DayFigures, type Ranked, useBoard, useToday } from "./data";
import { FILTER_LABELS, FILTERS, type FilterName, type Filters, address, isFiltered, readFilters, toggled } from "./filters";
import { MEASURE_LABELS, MEASURES, type Measure } from "./minutes";
import { PageDetail } from "./PageDetail";

export function LivePage({ live }: { live: LiveState }) {
  const place = usePlace();
  const filters = readFilters(place.query);
  const board = useBoard(live.tick, filters);
  const today = useToday(filters);
  const pick = (name: FilterName) => (value: string) => go(address(toggled(filters, name, value)));
  const dimmed = live.link === "stale" || live.link === "lost";
  return (
    <div className={`live-view ${dimmed && !isFiltered(filters) ? "is-old" : ""}`}>
      <h1 className="sr-only">Live</h1>
      {live.tick?.degraded && <Notice tone="warn">{sentence(live.tick.degraded_reason ?? "figures may be incomplete")}</Notice>}
      {live.tick && <Alerts tick={live.tick} />}
      <FilterBar filters={filters} />
      <Tiles board={board.data} today={today.data} />
      {today.error && <Trouble problem={today.error} again={today.again} />}
      {board.error && <Trouble problem={board.error} again={board.again} />}
      <div className="grid wide-left">
        <MinutesCard board={board.data} />
        <FunnelCard board={board.data} />
      </div>
      {filters.page && <PageDetail page={filters.page} user={filters.user_id} />}
      <div className="grid four">
        <RankCard title="Top pages" note="views, 15 min" ranked={board.data.rankings?.pages} picked={filters.page}
          onPick={pick("page")} kind="count" filter="page" />
        <RankCard title="Top products" note="views, 15 min" ranked={board.data.rankings?.products} picked={filters.product_id}
          onPick={pick("product_id")} kind="count" filter="product_id" />
        <RankCard title="Sources" note="sales, 15 min" ranked={board.data.rankings?.sources} picked={filters.source}
          onPick={pick("source")} kind="money" filter="source" />
        <RankCard title="Countries" note="sales, 15 min" ranked={board.data.rankings?.countries} picked={filters.country}
          onPick={pick("country")} kind="money" filter="country" />
      </div>
      <div className="grid wide-left">
        <OrdersCard board={board.data} onCountry={pick("country")} />
        <PulseCard tick={live.tick} />
      </div>
    </div>
  );
}

export function Notice({ tone, children }: { tone: "warn" | "bad" | "info"; children: React.ReactNode }) {
  return (
    <div className={`notice ${tone}`} role="status">
      {tone !== "info" && <Icon name="alert" />}
      <div>{children}</div>
    </div>
  );
}

function Alerts({ tick }: { tick: Tick }) {
  const { zone } = useApp().place;
  if (tick.alerts.length === 0) return null;
  return (
    <ul className="alerts" aria-label="Alerts">
      {tick.alerts.map((alert) => (
        <li key={alert.id} className={`notice ${alert.severity === "info" ? "info" : alert.severity === "warning" ? "warn" : "bad"}`}>
          <Icon name="alert" />
          <div>
            <b>{f.heading(alert.rule.replaceAll("-", "_"))}</b> {alert.message}
            <span className="faint"> since {f.clock(Date.parse(alert.opened_at), zone)}</span>
          </div>
        </li>
      ))}
    </ul>
  );
}

function FilterBar({ filters }: { filters: Filters }) {
  const [user, setUser] = useState("");
  const chosen = FILTERS.filter((name) => filters[name]);
  return (
    <div className="filter-bar">
      <div className="chips" aria-live="polite">
        {chosen.length === 0 && <span className="note">The whole shop. Click a page, product, source or country to narrow it.</span>}
        {chosen.length > 0 && <span className="note">Sessions with</span>}
        {chosen.map((name) => (
          <button key={name} type="button" className="chip" onClick={() => go(address({ ...filters, [name]: undefined }))}
            aria-label={`Remove filter ${FILTER_LABELS[name]} ${filters[name]}`}>
            <span className="faint">{FILTER_LABELS[name]}</span> {filters[name]} <Icon name="close" size={12} />
          </button>
        ))}
        {chosen.length > 1 && <button type="button" className="button quiet" onClick={() => go("/")}>Clear all</button>}
      </div>
      {!filters.user_id && (
        <form className="user-filter"
          onSubmit={(event) => {
            event.preventDefault();
            if (user.trim()) go(address({ ...filters, user_id: user.trim() }));
            setUser("");
          }}>
          <Icon name="search" size={14} />
          <input value={user} onChange={(event) => setUser(event.target.value)} placeholder="Filter by user id" aria-label="Filter by user id" />
        </form>
      )}
    </div>
  );
}

function Tiles({ board, today }: { board: Board; today: { today: DayFigures; before: DayFigures } | null }) {
  const { currency } = useApp().place;
  const now = today?.today;
  const before = today?.before;
  const money = (value: number | null | undefined) => (value === null || value === undefined ? f.NONE : f.money(value, currency, true));
  return (
    <div className="tiles">
      <div className="tile-group" role="group" aria-label="Right now">
        <p className="tile-caption">Right now <span className="faint">last 5 minutes</span></p>
        <div className="tile-row">
          <Tile id="active-users" label="Visitors" value={board.active && f.count(board.active.users)} about={board.active && !board.active.exact ? "≈" : ""} />
          <Tile id="active-sessions" label="Sessions" value={board.active && f.count(board.active.sessions)} />
        </div>
      </div>
      <div className="tile-group wide" role="group" aria-label="Today">
        <p className="tile-caption">Today <span className="faint">against yesterday at this time</span></p>
        <div className="tile-row">
          <Tile id="sales" label="Sales" value={now ? money(now.sales) : null} was={before && money(before.sales)} delta={f.change(now?.sales, before?.sales)} />
          <Tile id="orders" label="Orders" value={now ? f.count(now.orders) : null} was={before && f.count(before.orders)} delta={f.change(now?.orders, before?.orders)} />
          <Tile id="aov" label="Average order" value={now ? money(now.aov) : null} was={before && money(before.aov)} delta={f.change(now?.aov, before?.aov)} />
          <Tile id="conversion" label="Conversion" value={now ? (now.conversion === null ? f.NONE : f.percent(now.conversion, 2)) : null}
            was={before && (before.conversion === null ? f.NONE : f.percent(before.conversion, 2))} delta={f.change(now?.conversion, before?.conversion)}
            title={now ? `${f.count(now.converted)} of ${f.count(now.sessions)} sessions` : undefined} />
        </div>
      </div>
    </div>
  );
}

function Tile({ id, label, value, was, delta, title, about = "" }: {
  id: string; label: string; value: string | null; was?: string | null | undefined; delta?: number | null; title?: string | undefined; about?: string;
}) {
  const way = delta === null || delta === undefined ? "" : Math.abs(delta) < 0.0005 ? "same" : delta > 0 ? "up" : "down";
  return (
    <div className="tile" data-tile={id} title={title}>
      <p className="tile-label">{label}</p>
      {value === null ? <span className="bone large" /> : <p className="tile-value"><span className="faint">{about}</span>{value}</p>}
      {was !== undefined && (
        <p className="tile-delta">
          {way && way !== "same" && <span className={way}>{delta! > 0 ? "▲" : "▼"} {f.percent(Math.abs(delta!), Math.abs(delta!) < 0.1 ? 1 : 0)}</span>}
          {way === "same" && <span className="same">no change</span>}
          {was && <span className="faint"> from {was}</span>}
          {!was && " "}
        </p>
      )}
    </div>
  );
}

function MinutesCard({ board }: { board: Board }) {
  const { place } = useApp();
  const [measure, setMeasure] = useState<Measure>("page_views");
  const minutes = board.minutes ?? [];
  const values = minutes.map((minute) => Number(minute[measure]));
  const isMoney = measure === "revenue";
  const total = values.reduce((sum, value) => sum + value, 0);
  const said = isMoney ? f.money(total, place.currency, true) : f.count(total);
  // An hour's distinct sessions are not the sum of its minutes'.
  const note = measure === "sessions" ? "by minute" : `${said} in ${minutes.length || 60} min`;
  return (
    <Card title="The last hour" note={note} className="minutes-card"
      side={<Choice label="What the bars show" value={measure} onChange={setMeasure}
        options={MEASURES.map((value) => ({ value, label: MEASURE_LABELS[value] }))} />}>
      {minutes.length === 0 ? <Waiting rows={5} /> : (
        <Chart times={minutes.map((minute) => Date.parse(minute.minute))} zone={place.zone} height={232}
          lines={[{ label: MEASURE_LABELS[measure], values, kind: "bars", colour: "accent" }]}
          format={(value) => (isMoney ? f.money(value, place.currency) : f.count(value))}
          axis={(value) => (isMoney ? f.moneyCompact(value, place.currency) : f.compact(value))}
          when={(at) => `${f.clock(at, place.zone)} to ${f.clock(at + 60_000, place.zone)}`}
          label={`${MEASURE_LABELS[measure]} in each minute of the last hour: ${said} in all`} />
      )}
    </Card>
  );
}

function FunnelCard({ board }: { board: Board }) {
  const steps = board.funnel ?? [];
  const none = steps.every((step) => step.count === 0);
  return (
    <Card title="Funnel" note="sessions, last hour">
      {!board.funnel ? <Waiting rows={5} /> : none ? (
        <Empty hint="It fills as sessions view products, add to the cart, check out and buy, in this order.">Nobody viewed a product in the last hour</Empty>
      ) : (
        <Funnel steps={steps.map((s) => ({ name: s.name, count: s.count, stepRate: s.step_rate, overallRate: s.overall_rate, dropOff: s.drop_off }))} />
      )}
    </Card>
  );
}

function RankCard({ title, note, ranked, picked, onPick, kind, filter }: {
  title: string; note: string; ranked: Ranked[] | undefined; picked: string | undefined; onPick: (name: string) => void;
  kind: "count" | "money"; filter: FilterName;
}) {
  const { currency } = useApp().place;
  const shown = (value: number) => (kind === "money" ? f.money(value, currency, true) : f.count(value));
  return (
    <Card title={title} note={note} className="rank-card">
      {!ranked ? <Waiting rows={8} /> : ranked.length === 0 ? <Empty>Nothing in the last 15 minutes</Empty> : (
        <BarList onPick={onPick} pickLabel={(name) => `Narrow to ${FILTER_LABELS[filter].toLowerCase()} ${name}`}
          entries={ranked.slice(0, 8).map((entry) => ({
            name: entry.name, value: entry.value, shown: shown(entry.value), picked: entry.name === picked,
            label: filter === "country" ? <Country code={entry.name} /> : entry.name,
          }))} />
      )}
    </Card>
  );
}

let regions: Intl.DisplayNames | null = null;

export function countryName(code: string): string {
  if (!/^[A-Z]{2}$/.test(code)) return code;
  try {
    regions ??= new Intl.DisplayNames(undefined, { type: "region" });
    return regions.of(code) ?? code;
  } catch {
    return code;
  }
}

function Country({ code }: { code: string }) {
  const name = countryName(code);
  return <>{name}{name !== code && <span className="faint"> {code}</span>}</>;
}

function OrdersCard({ board, onCountry }: { board: Board; onCountry: (code: string) => void }) {
  const { place } = useApp();
  return (
    <Card title="Latest orders" note="purchases, newest first">
      {!board.orders ? <Waiting rows={6} /> : board.orders.length === 0 ? (
        <Empty hint="The first one is here within a second of its event.">No order in the last hour</Empty>
      ) : (
        <div className="table-box" tabIndex={0} role="region" aria-label="Orders, as a table">
          <table className="table">
            <thead><tr><th scope="col">Time</th><th scope="col">Order</th><th scope="col">Country</th><th scope="col" className="num">Value</th></tr></thead>
            <tbody>
              {board.orders.map((order) => (
                <tr key={order.event_id}>
                  <td className="mono faint">{f.clock(Date.parse(order.event_ts), place.zone, true)}</td>
                  <td className="mono">{order.order_id ?? <span className="faint">no id</span>}</td>
                  <td>{order.country ? <button type="button" className="linklike" onClick={() => onCountry(order.country!)}>{countryName(order.country)}</button> : f.NONE}</td>
                  <td className="num strong">{f.money(order.value, order.currency ?? place.currency)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

function PulseCard({ tick }: { tick: Tick | null }) {
  const { performance } = tick?.kpis.latest ?? {};
  const ms = (value: number | null | undefined) => (value === null || value === undefined ? f.NONE : f.milliseconds(value));
  return (
    <Card title="Pulse" note="events, last minute">
      {!tick ? <Waiting rows={4} /> : (
        <div className="pulse">
          <p className="pulse-value" data-tile="events-per-second">{f.decimal(tick.rates.events_per_second, 1)} <span className="faint">events/s</span></p>
          <Spark values={tick.rates.arrivals} height={150} label={`Events that arrived in each of the last ${tick.rates.arrivals.length} seconds`} />
          <dl className="facts">
            <div><dt>Arrival to visible, median</dt><dd>{ms(performance?.latency_ms_p50)}</dd></div>
            <div><dt>95 of 100 within</dt><dd>{ms(performance?.latency_ms_p95)}</dd></div>
            <div><dt>Stored, not yet counted</dt><dd>{f.count(tick.freshness.behind)}</dd></div>
            <div><dt>Events stored</dt><dd data-tile="seq">{f.count(tick.freshness.seq)}</dd></div>
          </dl>
        </div>
      )}
    </Card>
  );
}
