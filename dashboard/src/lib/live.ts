// The live stream: connects, notices silence, comes back by itself, and says how old the picture is.
import { useSyncExternalStore } from "react";

import type { Tick } from "./api";

export type Link = "connecting" | "live" | "stale" | "lost";

export interface LiveState {
  link: Link;
  tick: Tick | null;
  /** When the last tick arrived, by this browser's clock. */
  arrivedAt: number;
  /** How often the connection was lost. */
  losses: number;
}

/** What a stream of events is to this file; an `EventSource`, and in tests a stand-in. */
export interface Source {
  onTick(tell: (data: string) => void): void;
  onLost(tell: () => void): void;
  close(): void;
}

export interface Surroundings {
  open(): Source;
  now(): number;
  later(run: () => void, ms: number): () => void;
  /** Asked when the stream is refused: whether it is worth trying again. */
  mayTryAgain(): Promise<boolean>;
  /** From 0 to 1. */
  random(): number;
}

/** How long to wait before the n-th try, with jitter, so that a restarted server is not met by everybody at once. */
export function backoff(attempt: number, random: number): number {
  const most = Math.min(5_000, 400 * 2 ** attempt);
  return most / 2 + (most / 2) * random;
}

/** Ticks that may be missed before the picture counts as stale, and before the connection counts as lost. */
const STALE_AFTER = 3;
const LOST_AFTER = 10;

export class LiveFeed {
  private state: LiveState = { link: "connecting", tick: null, arrivedAt: 0, losses: 0 };
  private listeners = new Set<() => void>();
  private source: Source | null = null;
  private attempt = 0;
  private timers: (() => void)[] = [];
  private running = false;

  constructor(private readonly around: Surroundings, private everyMs: number) {}

  get(): LiveState {
    return this.state;
  }

  subscribe(tell: () => void): () => void {
    this.listeners.add(tell);
    return () => this.listeners.delete(tell);
  }

  start(): void {
    if (this.running) return;
    this.running = true;
    this.connect();
    this.watch();
  }

  stop(): void {
    this.running = false;
    this.timers.forEach((cancel) => cancel());
    this.timers = [];
    this.source?.close();
    this.source = null;
  }

  private set(change: Partial<LiveState>): void {
    this.state = { ...this.state, ...change };
    this.listeners.forEach((tell) => tell());
  }

  private later(run: () => void, ms: number): void {
    const cancel = this.around.later(() => {
      this.timers = this.timers.filter((other) => other !== cancel);
      if (this.running) run();
    }, ms);
    this.timers.push(cancel);
  }

  private connect(): void {
    const source = this.around.open();
    this.source = source;
    source.onTick((data) => {
      if (this.source !== source) return;
      this.attempt = 0;
      this.set({ link: "live", tick: JSON.parse(data) as Tick, arrivedAt: this.around.now() });
    });
    source.onLost(() => {
      if (this.source === source) void this.lost();
    });
  }

  private async lost(): Promise<void> {
    this.source?.close();
    this.source = null;
    const first = this.state.link !== "lost";
    this.set({ link: this.state.tick ? "lost" : "connecting", losses: this.state.losses + (first ? 1 : 0) });
    const wait = backoff(this.attempt++, this.around.random());
    if (!(await this.around.mayTryAgain()) || !this.running) return;
    this.later(() => this.connect(), wait);
  }

  /** Silence is not an error to the browser: a proxy may hold the stream, a laptop may have slept. */
  private watch(): void {
    const silent = this.around.now() - this.state.arrivedAt;
    const ticks = silent / this.everyMs;
    if (this.state.link === "live" && ticks > STALE_AFTER + 0.5) this.set({ link: "stale" });
    else if (this.state.link === "stale" && ticks > LOST_AFTER && this.source) {
      this.source.close();
      void this.lost();
    }
    this.later(() => this.watch(), 500);
  }
}

/** The browser's own stream. It is closed at the first error: when to come back is decided here. */
export function eventSource(path: string): Source {
  const stream = new EventSource(path);
  return {
    onTick(tell) {
      const told = (event: MessageEvent<string>) => tell(event.data);
      stream.addEventListener("snapshot", told);
      stream.addEventListener("tick", told);
    },
    onLost(tell) {
      stream.onerror = tell;
    },
    close() {
      stream.onerror = null;
      stream.close();
    },
  };
}

export function useLive(feed: LiveFeed): LiveState {
  return useSyncExternalStore(
    (tell) => feed.subscribe(tell),
    () => feed.get(),
  );
}
