// One page over the day: views, visitors and how fast it loads.
import { get, type MetricAnswer, withQuery } from "../lib/api";
import { Chart } from "../charts/Chart";
import * as f from "../lib/format";
import { useAsk } from "../lib/hooks";
import { useApp } from "../context";
import { Card, Empty, Link, Trouble, Waiting } from "../ui/parts";

export function PageDetail({ page, user }: { page: string; user: string | undefined }) {
  const { place } = useApp();
  const path = withQuery("/analytics/traffic/page", { page, bucket: "minute", start: "yesterday", end: "today", user_id: user });
  const asked = useAsk(path, (signal) => get<MetricAnswer>(path, signal), 10_000);
  const rows = asked.data?.data ?? [];
  const since = Date.now() - 6 * 3_600_000;
  const recent = rows.filter((row) => Date.parse(String(row["bucket_start"])) >= since);
  const number = (name: string) => recent.map((row) => f.toNumber(row[name]));
  const sum = (name: string) => number(name).reduce<number>((total, value) => total + (value ?? 0), 0);
  return (
    <Card title={<>Page <span className="mono">{page}</span></>} note={`${f.count(sum("views"))} views in the last 6 hours`} busy={asked.busy}
      side={<Link className="button quiet" to={withQuery("/history/traffic/page", { page, bucket: "hour" })}>History</Link>}>
      {asked.error ? <Trouble problem={asked.error} again={asked.again} /> : !asked.data ? <Waiting rows={3} /> : recent.length === 0 ? (
        <Empty>Nobody has seen this page in the last 6 hours</Empty>
      ) : (
        <Chart times={recent.map((row) => Date.parse(String(row["bucket_start"])))} zone={place.zone} height={160}
          lines={[
            { label: "Views", values: number("views"), kind: "area", colour: "accent" },
            { label: "Visitors", values: number("visitors"), kind: "line", colour: "second" },
          ]}
          format={(value) => f.count(value)} axis={f.compact} label={`Views and visitors of ${page} by minute`} />
      )}
    </Card>
  );
}
