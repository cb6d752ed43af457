// A line without axes: what happened in the last seconds.
export function Spark({ values, height = 44, label }: { values: number[]; height?: number; label: string }) {
  const most = Math.max(1, ...values);
  const step = 100 / Math.max(1, values.length - 1);
  const y = (value: number) => (38 - (value / most) * 35).toFixed(2);
  const points = values.map((value, i) => `${(i * step).toFixed(2)},${y(value)}`).join(" ");
  return (
    <svg className="spark" viewBox="0 0 100 40" preserveAspectRatio="none" height={height} role="img" aria-label={label}>
      <polygon points={`0,40 ${points} 100,40`} className="spark-area" />
      <polyline points={points} className="spark-line" vectorEffect="non-scaling-stroke" />
    </svg>
  );
}
