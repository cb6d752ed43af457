// Where the page is: the address bar is the state, so that every view can be sent to somebody.
import { useSyncExternalStore } from "react";

export interface Place {
  path: string;
  query: URLSearchParams;
}

const listeners = new Set<() => void>();
let place = read();

function read(): Place {
  return { path: window.location.pathname, query: new URLSearchParams(window.location.search) };
}

function moved(): void {
  place = read();
  listeners.forEach((tell) => tell());
}

window.addEventListener("popstate", moved);

/** Goes there. `replace` keeps no step to go back to: for what changes while typing. */
export function go(to: string, replace = false): void {
  if (to === window.location.pathname + window.location.search) return;
  window.history[replace ? "replaceState" : "pushState"](null, "", to);
  moved();
  if (!replace) window.scrollTo(0, 0);
}

export function usePlace(): Place {
  return useSyncExternalStore(
    (tell) => {
      listeners.add(tell);
      return () => listeners.delete(tell);
    },
    () => place,
  );
}

/** The same place with other parameters; `undefined` takes one out. */
export function placeWith(from: Place, changes: Record<string, string | undefined>): string {
  const query = new URLSearchParams(from.query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  return text ? `${from.path}?${text}` : from.path;
}
