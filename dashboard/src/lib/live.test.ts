import { beforeEach, describe, expect, it } from "vitest";

import { LiveFeed, backoff, type Source, type Surroundings } from "./live";

/** A world whose time moves when a test says so. */
class World implements Surroundings {
  time = 1_000_000;
  streams: { tick: (data: string) => void; lose: () => void; closed: boolean }[] = [];
  welcome = true;
  private timers: { at: number; run: () => void }[] = [];

  open(): Source {
    const stream = { tick: (_: string) => {}, lose: () => {}, closed: false };
    this.streams.push(stream);
    return {
      onTick: (tell) => void (stream.tick = tell),
      onLost: (tell) => void (stream.lose = tell),
      close: () => void (stream.closed = true),
    };
  }
  now = () => this.time;
  later(run: () => void, ms: number) {
    const timer = { at: this.time + ms, run };
    this.timers.push(timer);
    return () => void (this.timers = this.timers.filter((other) => other !== timer));
  }
  mayTryAgain = async () => this.welcome;
  random = () => 1;

  async pass(ms: number) {
    const end = this.time + ms;
    for (;;) {
      await settle();
      const next = this.timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.timers = this.timers.filter((other) => other !== next);
      this.time = Math.max(this.time, next.at);
      next.run();
    }
    this.time = end;
    await settle();
  }
}

const settle = async () => {
  for (let i = 0; i < 5; i += 1) await Promise.resolve();
};

describe("the live feed", () => {
  let world: World;
  let feed: LiveFeed;
  beforeEach(() => {
    world = new World();
    feed = new LiveFeed(world, 1_000);
    feed.start();
  });

  it("is connecting until the first tick, then live", () => {
    expect(feed.get().link).toBe("connecting");
    world.streams[0]!.tick('{"tick":1}');
    expect(feed.get()).toMatchObject({ link: "live", tick: { tick: 1 }, arrivedAt: world.time });
  });

  it("says that it is stale when ticks stay out, and is live again with the next", async () => {
    world.streams[0]!.tick('{"tick":1}');
    await world.pass(3_000);
    expect(feed.get().link).toBe("live");
    await world.pass(1_500);
    expect(feed.get().link).toBe("stale");
    world.streams[0]!.tick('{"tick":2}');
    expect(feed.get().link).toBe("live");
    expect(world.streams).toHaveLength(1);
  });

  it("opens a new stream when the old one is silent for long", async () => {
    world.streams[0]!.tick('{"tick":1}');
    await world.pass(12_000);
    expect(world.streams[0]!.closed).toBe(true);
    expect(world.streams.length).toBeGreaterThan(1);
    expect(feed.get()).toMatchObject({ link: "lost", losses: 1 });
  });

  it("comes back by itself, keeps the last picture, and counts one loss", async () => {
    world.streams[0]!.tick('{"tick":7}');
    world.streams[0]!.lose();
    await settle();
    expect(feed.get()).toMatchObject({ link: "lost", tick: { tick: 7 }, losses: 1 });
    await world.pass(500);
    world.streams[1]!.lose();
    await world.pass(1_000);
    expect(world.streams).toHaveLength(3);
    world.streams[2]!.tick('{"tick":1}');
    expect(feed.get()).toMatchObject({ link: "live", tick: { tick: 1 }, losses: 1 });
  });

  it("does not listen to a stream it has given up", async () => {
    world.streams[0]!.tick('{"tick":1}');
    world.streams[0]!.lose();
    await world.pass(500);
    world.streams[0]!.tick('{"tick":99}');
    expect(feed.get().tick?.tick).toBe(1);
  });

  it("stays away when it is not welcome any more", async () => {
    world.welcome = false;
    world.streams[0]!.lose();
    await world.pass(60_000);
    expect(world.streams).toHaveLength(1);
  });

  it("waits longer each time, with jitter, and never for ever", () => {
    expect(backoff(0, 0)).toBe(200);
    expect(backoff(0, 1)).toBe(400);
    expect(backoff(3, 1)).toBe(3_200);
    expect(backoff(20, 1)).toBe(5_000);
  });

  it("stops when it is told to", async () => {
    feed.stop();
    expect(world.streams[0]!.closed).toBe(true);
    await world.pass(60_000);
    expect(world.streams).toHaveLength(1);
  });
});
