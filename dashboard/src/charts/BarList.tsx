// A ranking: names with bars behind them. Where a name can be picked it is a button.
import type { ReactNode } from "react";

export interface Entry {
  name: string;
  /** What is shown for the name. */
  label?: ReactNode;
  value: number;
  shown: string;
  picked?: boolean;
}

export function BarList({ entries, onPick, pickLabel, tone = "" }: {
  entries: Entry[]; onPick?: (name: string) => void; pickLabel?: (name: string) => string; tone?: string;
}) {
  const most = Math.max(1e-9, ...entries.map((entry) => entry.value));
  return (
    <ol className={`bar-list ${tone}`}>
      {entries.map((entry) => {
        const inside = (
          <>
            <span className="bar-fill" style={{ width: `${Math.max(0, (entry.value / most) * 100)}%` }} aria-hidden="true" />
            <span className="bar-name">{entry.label ?? entry.name}</span>
            <span className="bar-value">{entry.shown}</span>
          </>
        );
        return (
          <li key={entry.name}>
            {onPick ? (
              <button type="button" className="bar-row" aria-pressed={entry.picked ?? false}
                title={pickLabel?.(entry.name) ?? entry.name} onClick={() => onPick(entry.name)}>
                {inside}
              </button>
            ) : (
              <div className="bar-row" title={entry.name}>{inside}</div>
            )}
          </li>
        );
      })}
    </ol>
  );
}
