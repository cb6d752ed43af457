// What every view needs to know: the server's configuration, and who is signed in.
import { createContext, useContext } from "react";

import type { PageConfig, Session } from "./lib/api";
import type { Place } from "./lib/format";

export interface App {
  config: PageConfig;
  place: Place;
  session: Session;
  may: (scope: string) => boolean;
}

export const AppContext = createContext<App | null>(null);

export function useApp(): App {
  const app = useContext(AppContext);
  if (!app) throw new Error("outside of the page's frame");
  return app;
}
