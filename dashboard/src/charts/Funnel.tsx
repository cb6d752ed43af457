// Steps that fewer and fewer reach, with how many are lost between them.
import { count, NONE, percent } from "../lib/format";

export interface FunnelRow {
  name: string;
  count: number;
  stepRate: number | null;
  overallRate: number | null;
  dropOff: number;
}

export const STEP_NAMES: Record<string, string> = {
  product_view: "Viewed a product",
  add_to_cart: "Added to cart",
  checkout_start: "Started checkout",
  purchase: "Purchased",
  view: "Viewed a product",
  cart: "Added to cart",
  checkout: "Started checkout",
};

export function Funnel({ steps }: { steps: FunnelRow[] }) {
  const most = Math.max(1, ...steps.map((step) => step.count));
  return (
    <ol className="funnel">
      {steps.map((step, at) => (
        <li key={step.name}>
          {at > 0 && (
            <p className="funnel-drop">
              <span aria-hidden="true">↓</span> {step.stepRate === null ? NONE : percent(step.stepRate)} go on
              <span className="faint"> · {count(step.dropOff)} leave</span>
            </p>
          )}
          <div className="funnel-step">
            <span className="funnel-fill" style={{ width: `${(step.count / most) * 100}%` }} aria-hidden="true" />
            <span className="funnel-name">{STEP_NAMES[step.name] ?? step.name}</span>
            <span className="funnel-count">
              {count(step.count)}
              {at > 0 && step.overallRate !== null && <span className="faint"> {percent(step.overallRate)}</span>}
            </span>
          </div>
        </li>
      ))}
    </ol>
  );
}
