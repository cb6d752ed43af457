// Light, dark, or as the system is. Charts ask for a new drawing when it changes.
import { useEffect, useSyncExternalStore } from "react";

import { useStored } from "./hooks";

export type Theme = "system" | "light" | "dark";

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();
let shown = "";

function apply(): void {
  const wanted = document.documentElement.dataset["theme"];
  const next = wanted === "dark" || (wanted !== "light" && dark.matches) ? "dark" : "light";
  if (next === shown) return;
  shown = next;
  listeners.forEach((tell) => tell());
}

dark.addEventListener("change", apply);
apply();

/** What is shown: `light` or `dark`. */
export function useShownTheme(): string {
  return useSyncExternalStore(
    (tell) => {
      listeners.add(tell);
      return () => listeners.delete(tell);
    },
    () => shown,
  );
}

export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useStored<Theme>("theme", "system");
  useEffect(() => {
    if (theme === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme;
    apply();
  }, [theme]);
  return [theme, setTheme];
}

/** A colour of the style sheet, for canvases. */
export const colour = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
