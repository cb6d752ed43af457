// Asking the server from a component: once, again, or every so often, with the last answer kept while the next comes.
import { useCallback, useEffect, useRef, useState } from "react";

import { Problem } from "./api";

export interface Asked<T> {
  data: T | null;
  error: Problem | null;
  busy: boolean;
  /** When the data came, by this browser's clock. */
  at: number;
  again: () => void;
}

const problem = (error: unknown): Problem =>
  error instanceof Problem ? error : new Problem(0, "internal", String((error as Error)?.message ?? error));

/** Asks whenever `key` changes, and then every `everyMs`. `null` asks nothing. The answer to an older key is dropped. */
export function useAsk<T>(key: string | null, ask: (signal: AbortSignal) => Promise<T>, everyMs = 0): Asked<T> {
  const [state, setState] = useState<{ key: string | null; data: T | null; error: Problem | null; busy: boolean; at: number }>(
    { key: null, data: null, error: null, busy: key !== null, at: 0 },
  );
  const [round, setRound] = useState(0);
  const latest = useRef(ask);
  latest.current = ask;
  useEffect(() => {
    if (key === null) return;
    const control = new AbortController();
    let timer = 0;
    const run = async () => {
      setState((s) => ({ ...s, busy: true }));
      const begun = performance.now();
      try {
        const data = await latest.current(control.signal);
        if (!control.signal.aborted) setState({ key, data, error: null, busy: false, at: Date.now() });
      } catch (error) {
        if (control.signal.aborted) return;
        setState((s) => ({ ...s, key, data: s.key === key ? s.data : null, error: problem(error), busy: false }));
      }
      // A server that takes long over it is asked less often.
      const wait = Math.max(everyMs, 3 * (performance.now() - begun));
      if (everyMs > 0 && !control.signal.aborted) timer = window.setTimeout(() => void run(), wait);
    };
    void run();
    return () => {
      control.abort();
      window.clearTimeout(timer);
    };
  }, [key, everyMs, round]);
  const again = useCallback(() => setRound((n) => n + 1), []);
  // What was asked under another key is not shown under this one.
  const mine = state.key === key;
  return { data: mine ? state.data : null, error: mine ? state.error : null, busy: state.busy, at: state.at, again };
}

/** The time, every so often: for ages that grow while nothing else happens. */
export function useNow(everyMs: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = window.setInterval(() => setNow(Date.now()), everyMs);
    return () => window.clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** Kept in this browser. */
export function useStored<T>(name: string, initial: T): [T, (value: T) => void] {
  const key = `tideline.${name}`;
  const [value, setValue] = useState<T>(() => {
    try {
      const text = window.localStorage.getItem(key);
      return text === null ? initial : (JSON.parse(text) as T);
    } catch {
      return initial;
    }
  });
  const store = useCallback(
    (next: T) => {
      setValue(next);
      try {
        window.localStorage.setItem(key, JSON.stringify(next));
      } catch {
        // A full or forbidden storage: it lasts as long as the page then.
      }
    },
    [key],
  );
  return [value, store];
}

/** The width of an element, as it changes. */
export function useWidth<E extends HTMLElement>(): [React.RefObject<E | null>, number] {
  const ref = useRef<E | null>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    setWidth(element.clientWidth);
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}
