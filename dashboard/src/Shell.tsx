// The frame around every view: who is asking, where to go, how fresh the picture is.
import { lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState } from "react";

import { type PageConfig, Problem, type Session, get, onSignedOut, send } from "./lib/api";
import { AppContext, type App } from "./context";
import { useNow } from "./lib/hooks";
import { eventSource, LiveFeed, type LiveState, useLive } from "./lib/live";
import { usePlace } from "./lib/route";
import { type Theme, useTheme } from "./lib/theme";
import { span } from "./lib/format";
import { LivePage } from "./live/LivePage";
import { Login } from "./Login";
import { Icon, Wave } from "./ui/icons";
import { Choice, Empty, Link, Trouble, Waiting } from "./ui/parts";

const HistoryPage = lazy(() => import("./history/HistoryPage"));
const OperationsPage = lazy(() => import("./ops/OperationsPage"));
const ConsolePage = lazy(() => import("./console/ConsolePage"));

const VIEWS = [
  { path: "/", label: "Live", title: "Live" },
  { path: "/history", label: "History", title: "History" },
  { path: "/console", label: "SQL", title: "SQL console" },
  { path: "/operations", label: "Operations", title: "Operations" },
] as const;

type Standing =
  | { is: "asking" }
  | { is: "unreachable"; problem: Problem }
  | { is: "signed-out"; config: PageConfig; problem: Problem }
  | { is: "in"; config: PageConfig; session: Session };

async function standing(): Promise<Standing> {
  try {
    const config = await get<PageConfig>("/config");
    try {
      return { is: "in", config, session: await get<Session>("/session") };
    } catch (error) {
      if (error instanceof Problem && error.status === 401) return { is: "signed-out", config, problem: error };
      throw error;
    }
  } catch (error) {
    return { is: "unreachable", problem: error instanceof Problem ? error : new Problem(0, "internal", String(error)) };
  }
}

export function Shell() {
  const [now, setNow] = useState<Standing>({ is: "asking" });
  const ask = useCallback(() => void standing().then(setNow), []);
  useEffect(ask, [ask]);
  useEffect(() => onSignedOut(ask), [ask]);
  // A server that was away is asked again until it is there.
  useEffect(() => {
    if (now.is !== "unreachable") return;
    const timer = window.setTimeout(ask, 2_000);
    return () => window.clearTimeout(timer);
  }, [now, ask]);
  switch (now.is) {
    case "asking":
      return <div className="splash"><Wave /><Waiting rows={1} label="connecting" /></div>;
    case "unreachable":
      return <div className="splash"><Wave /><Trouble problem={now.problem} again={ask} /></div>;
    case "signed-out":
      return <Login config={now.config} reason={now.problem} onDone={ask} />;
    case "in":
      return <Inside config={now.config} session={now.session} onSignOut={ask} />;
  }
}

function Inside({ config, session, onSignOut }: { config: PageConfig; session: Session; onSignOut: () => void }) {
  const place = usePlace();
  const feed = useMemo(() => new LiveFeed({
    open: () => eventSource("/live"),
    now: () => Date.now(),
    later: (run, ms) => {
      const timer = window.setTimeout(run, ms);
      return () => window.clearTimeout(timer);
    },
    // A refused stream does not say why: a session that is over is told by an answer with words.
    mayTryAgain: async () => {
      try {
        await get("/session");
        return true;
      } catch (error) {
        return !(error instanceof Problem && error.status === 401);
      }
    },
    random: Math.random,
  }, config.live_every_ms), [config.live_every_ms]);
  useEffect(() => {
    feed.start();
    return () => feed.stop();
  }, [feed]);
  const live = useLive(feed);
  const app = useMemo<App>(() => ({
    config,
    session,
    place: { zone: config.shop.time_zone, currency: config.shop.currency },
    may: (scope) => session.scopes.includes(scope) || session.scopes.includes("admin"),
  }), [config, session]);
  const view = VIEWS.findLast((v) => (v.path === "/" ? place.path === "/" : place.path === v.path || place.path.startsWith(`${v.path}/`)));
  useEffect(() => {
    const shop = config.shop.name || "Tideline";
    document.title = view ? `${view.title} · ${shop}` : shop;
  }, [view, config.shop.name]);
  const main = useRef<HTMLElement>(null);
  return (
    <AppContext.Provider value={app}>
      <a className="skip" href="#main" onClick={(event) => { event.preventDefault(); main.current?.focus(); }}>Skip to the content</a>
      <header className="top">
        <Link to="/" className="brand" label="Tideline, live view"><Wave /><span className="brand-name">Tideline</span></Link>
        {config.shop.name && <span className="shop" title={`${config.shop.time_zone}, ${config.shop.currency}`}>{config.shop.name}</span>}
        <nav className="tabs" aria-label="Views">
          {VIEWS.map((v) => <Link key={v.path} to={v.path} current={v === view}>{v.label}</Link>)}
        </nav>
        <div className="top-side">
          <FreshnessBadge live={live} />
          <SessionMenu session={session} onSignOut={onSignOut} />
          <ThemeChoice />
        </div>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        {!app.may("read") ? (
          <Empty hint="Sign out and use a key with the scope read.">This key may not read: it is for sending events.</Empty>
        ) : (
          <Suspense fallback={<Waiting rows={6} />}>
            {view?.path === "/" && <LivePage live={live} />}
            {view?.path === "/history" && <HistoryPage />}
            {view?.path === "/console" && <ConsolePage />}
            {view?.path === "/operations" && <OperationsPage tick={live.tick} />}
            {!view && <Empty hint={<Link to="/">To the live view</Link>}>There is no such view</Empty>}
          </Suspense>
        )}
      </main>
      <footer className="foot">
        Tideline {config.version} · times in {config.shop.time_zone} · amounts in {config.shop.currency}
      </footer>
    </AppContext.Provider>
  );
}

const LINK_WORDS = { connecting: "Connecting", live: "Live", stale: "Delayed", lost: "Reconnecting" } as const;

function FreshnessBadge({ live }: { live: LiveState }) {
  const now = useNow(1_000);
  const age = live.arrivedAt ? Math.max(0, now - live.arrivedAt) : null;
  const old = live.link === "stale" || live.link === "lost";
  const detail = live.tick?.degraded ? "incomplete" : old && age !== null ? `${span(age)} old` : "";
  const tone = live.tick?.degraded && live.link === "live" ? "stale" : live.link;
  return (
    <span className={`badge ${tone}`} role="status" data-link={live.link} data-tick={live.tick?.tick} title={live.tick ? `as of event ${live.tick.freshness.seq}` : undefined}>
      <i aria-hidden="true" />{LINK_WORDS[live.link]}{detail && <span className="badge-detail">{detail}</span>}
    </span>
  );
}

function SessionMenu({ session, onSignOut }: { session: Session; onSignOut: () => void }) {
  const now = useNow(30_000);
  if (session.by !== "session") return null;
  const left = session.expires_at ? Date.parse(session.expires_at) - now : null;
  const soon = left !== null && left < 10 * 60_000;
  return (
    <span className="who">
      <span className={soon ? "who-name soon" : "who-name"} title={`scopes: ${session.scopes.join(", ")}`}>
        {session.name ?? session.key_id}
        {left !== null && <span className="faint"> · {span(left)} left</span>}
      </span>
      <button type="button" className="button quiet icon" aria-label="Sign out" title="Sign out"
        onClick={() => void send("/session", { method: "DELETE" }).catch(() => undefined).then(onSignOut)}>
        <Icon name="out" />
      </button>
    </span>
  );
}

function ThemeChoice() {
  const [theme, setTheme] = useTheme();
  const option = (value: Theme, label: string, icon: string) =>
    ({ value, label: <><Icon name={icon} size={14} /><span className="sr-only">{label}</span></>, title: label });
  return (
    <Choice label="Colours" value={theme} onChange={setTheme}
      options={[option("light", "Light", "sun"), option("system", "As the system", "system"), option("dark", "Dark", "moon")]} />
  );
}
