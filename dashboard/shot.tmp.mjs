import { chromium } from "@playwright/test";
const base = process.env.BASE ?? "http://127.0.0.1:5199";
const mock = !process.env.BASE;
const jobs = process.argv.slice(2).map((a) => a.split("|")); // path|width|theme|name|full
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
for (const [path, width, theme, name, act] of jobs) {
  const page = await browser.newPage({ viewport: { width: +width, height: +width < 500 ? 844 : 960 }, colorScheme: theme, locale: "en-GB" });
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && console.log(name, m.text()));
  page.on("pageerror", (e) => console.log(name, "PAGEERROR", e.message));
  if (mock) await page.route("**/config", (r) => r.fulfill({ json: { version: "0.1.0", keys_required: false, shop: { name: "Demo shop, made-up data", time_zone: "UTC", currency: "EUR" }, live_every_ms: 1000, hot_window_minutes: 60, json_rows: 10000 } }));
  await page.goto(base + path);
  await page.waitForTimeout(Number(process.env.WAIT ?? 5000));
  if (act) { await page.evaluate(act).catch((e) => console.log(e.message)); await page.waitForTimeout(1500); }
  await page.screenshot({ path: `/tmp/shots/${name}.png`, fullPage: true });
  await page.close();
}
await browser.close();
