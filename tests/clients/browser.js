// `@segment/analytics-next` in Chromium, on a page of another origin than the server's: `node browser.js PLAN.json`. It
// says `sent` once the page has tracked everything, and leaves when its input ends: what was not delivered yet is sent
// again for as long as the page is open.
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

const { url, key, calls, snippet } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const sdk = fileURLToPath(new URL("node_modules/@segment/analytics-next/dist/umd/", import.meta.url));
const found = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
if (!found) throw new Error("there is no Chromium: apt-get install chromium, or name one in CHROMIUM");

const PAGE = `<!doctype html><title>Shop</title><script src="/sdk/index.js"></script><h1>Shop</h1>`;
const shop = createServer((request, response) => {
  const path = new URL(request.url, "http://shop").pathname;
  const file = path.match(/^\/sdk\/([\w.-]+\.js)$/)?.[1];
  if (file) {
    response.setHeader("content-type", "text/javascript");
    response.end(readFileSync(sdk + file));
  } else {
    response.setHeader("content-type", "text/html");
    response.end(PAGE);
  }
});
await new Promise((ready) => shop.listen(0, "127.0.0.1", ready));

const browser = await chromium.launch({ executablePath: found, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
// Headless Chromium says so in its name, and would be taken for a bot.
const userAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
const page = await (await browser.newContext({ userAgent, locale: "de-DE" })).newPage();
page.on("console", (message) => process.env.VERBOSE && console.error(message.text()));
await page.goto(`http://localhost:${shop.address().port}/products/shoes?utm_source=newsletter&utm_medium=email`);
await page.evaluate(
  async ({ url, key, calls, snippet }) => {
    const { AnalyticsBrowser } = window.AnalyticsNext;
    const analytics = snippet
      ? new Function("AnalyticsBrowser", "KEY", `return ${snippet}`)(AnalyticsBrowser, key)
      : AnalyticsBrowser.load({ writeKey: key, cdnURL: url });
    await analytics.ready();
    for (const { call, userId, groupId, previousId, event, name, properties, traits } of calls) {
      if (call === "track") await analytics.track(event, properties);
      else if (call === "page") await analytics.page(name, properties);
      else if (call === "identify") await analytics.identify(userId, traits);
      else if (call === "group") await analytics.group(groupId, traits);
      else if (call === "alias") await analytics.alias(userId, previousId);
    }
  },
  { url, key, calls, snippet },
);
console.log("sent");
for await (const _ of process.stdin);
await browser.close();
shop.close();
