// Real servers for the tests: on free loopback ports, over folders of their own, stopped by their process.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const program = process.env["TIDELINE"] ?? new URL("../../target/debug/tideline", import.meta.url).pathname;

export interface Event {
  event_id: string;
  event_type: string;
  event_ts: string;
  [field: string]: unknown;
}

export class Server {
  url = "";
  private child: ChildProcess | null = null;
  private constructor(readonly folder: string, private readonly command: string[], private settings: Record<string, string>) {}

  /** `tideline serve` over an empty folder. */
  static async serve(settings: Record<string, string> = {}): Promise<Server> {
    return Server.begin(["serve"], settings);
  }

  /** `tideline demo`: history, and traffic that keeps coming. */
  static async demo(): Promise<Server> {
    const server = await Server.begin(["demo", "--days", "2", "--events", "20000", "--rate", "25"], {});
    const begun = Date.now();
    // It serves before its history is in.
    while ((await server.count()) < 15_000) {
      if (Date.now() - begun > 300_000) throw new Error("the demo's history did not arrive");
      await new Promise((done) => setTimeout(done, 250));
    }
    return server;
  }

  private static async begin(command: string[], settings: Record<string, string>): Promise<Server> {
    if (!existsSync(program)) throw new Error(`there is no ${program}: cargo build --workspace, or name one in TIDELINE`);
    const server = new Server(mkdtempSync(join(tmpdir(), "tideline-page-")), command, settings);
    await server.start("127.0.0.1:0");
    // Metrics are planned beside the start; here nobody wants to wait for that later.
    await server.json("/analytics");
    return server;
  }

  /** `tideline …` over this server's folder. */
  run(...args: string[]): string {
    return execFileSync(program, [...args, "--data-dir", this.folder], { encoding: "utf8", env: this.environment() });
  }

  /** Other settings from the next start on. */
  configure(settings: Record<string, string>): void {
    this.settings = settings;
  }

  private environment(): NodeJS.ProcessEnv {
    const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("TIDELINE")));
    return { ...clean, ...this.settings };
  }

  async start(listen = this.url.slice("http://".length)): Promise<void> {
    const child = spawn(program, [...this.command, "--data-dir", this.folder, "--listen", listen], { env: this.environment(), stdio: ["ignore", "pipe", "pipe"] });
    this.child = child;
    let said = "";
    this.url = await new Promise<string>((ready, fail) => {
      const read = (chunk: Buffer) => {
        if (said.length > 100_000) return;
        said += chunk.toString();
        const match = /http:\/\/127\.0\.0\.1:\d+/.exec(said);
        if (match) ready(match[0]);
      };
      child.stdout!.on("data", read);
      child.stderr!.on("data", read);
      child.on("exit", (code) => fail(new Error(`the server ended with ${code}: ${said}`)));
      setTimeout(() => fail(new Error(`the server did not start: ${said}`)), 300_000).unref();
    });
  }

  async stop(): Promise<void> {
    const child = this.child;
    this.child = null;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise<void>((done) => child.once("exit", () => done()));
    child.kill("SIGTERM");
    await ended;
  }

  async end(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async json<T = any>(path: string): Promise<T> {
    const answer = await fetch(this.url + path, { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }

  async text(path: string): Promise<string> {
    return (await fetch(this.url + path)).text();
  }

  /** Sends events; the position of the last one. */
  async send(events: Event[]): Promise<number> {
    const body = events.map((event) => JSON.stringify(event)).join("\n");
    const answer = await fetch(`${this.url}/events`, { method: "POST", headers: { "content-type": "application/x-ndjson" }, body });
    const said = (await answer.json()) as { accepted: number; seq?: { last: number } };
    if (said.accepted !== events.length) throw new Error(`not all were accepted: ${JSON.stringify(said)}`);
    return said.seq!.last;
  }

  async count(): Promise<number> {
    const answer = await this.json<{ data: { n: number }[] }>("/sql?q=SELECT+count(*)+AS+n+FROM+events");
    return answer.data[0]!.n;
  }
}

let made = 0;

/** An event of now. */
export function event(type: string, fields: Record<string, unknown> = {}): Event {
  made += 1;
  return { event_id: `e-${process.pid}-${made}`, event_type: type, event_ts: new Date().toISOString(), ...fields };
}

/** A visit that looks around, and buys where it has an amount. */
export function visit(user: string, country: string, source: string | null, amount?: number): Event[] {
  const who = { user_id: user, session_id: `s-${user}`, geo: { country }, ...(source ? { utm: { source } } : {}) };
  const product = { product_id: "sku_lamp", product_name: "Lamp", page: "/product/lamp" };
  const seen = [event("page_view", { ...who, page: "/" }), event("page_view", { ...who, page: "/product/lamp" }), event("product_view", { ...who, ...product })];
  if (amount === undefined) return seen;
  return [
    ...seen,
    event("add_to_cart", { ...who, ...product, price: amount.toFixed(2), quantity: 1 }),
    event("checkout_start", { ...who }),
    event("purchase", { ...who, order_id: `o-${user}`, currency: "EUR", revenue: amount.toFixed(2), items: [{ product_id: "sku_lamp", price: amount.toFixed(2), quantity: 1 }] }),
  ];
}
