import type { Tick } from "../lib/api";

export function OperationsPage(_: { tick: Tick | null }) {
  return null;
}
