import { digits, expect, live, test, tile } from "./page";
import { Server, visit } from "./server";

let server: Server;

test.beforeAll(async () => {
  server = await Server.serve({ TIDELINE_SHOP_TIME_ZONE: "Europe/Berlin", TIDELINE_SHOP_CURRENCY: "EUR", TIDELINE_SHOP_NAME: "Lamps" });
});
test.afterAll(() => server.end());

let seeded = false;

/** Four visits, of which two buy. */
async function seed(): Promise<void> {
  if (seeded) return;
  seeded = true;
  await server.send([...visit("ann", "DE", "google", 40), ...visit("ben", "FR", null), ...visit("cem", "DE", "news", 9.5), ...visit("dia", "GB", "google")]);
}

const users = async (filter = ""): Promise<string> => String((await server.json(`/analytics/now/active?${filter}`)).data[0].active_users);

test("an empty shop has something to say", async ({ page }) => {
  await page.goto(server.url);
  await live(page);
  await expect(page.getByText("No order in the last hour")).toBeVisible();
  await expect(page.getByText("Nobody viewed a product in the last hour")).toBeVisible();
  await expect(tile(page, "conversion")).toHaveText("–");
  await expect(page).toHaveTitle("Live · Lamps");
  await expect(page.locator(".foot")).toContainText("times in Europe/Berlin");
});

test("figures on the page are the API's", async ({ page }) => {
  await seed();
  await page.goto(server.url);
  await live(page);
  await expect(tile(page, "active-users")).toHaveText("4");
  const [active, today, funnel, pages] = await Promise.all([
    server.json("/metrics/active_users"), server.json("/analytics/now/today"), server.json("/funnel/current"), server.json("/metrics/top_pages?limit=8"),
  ]);
  expect(active.active_users).toBe(4);
  await expect(tile(page, "active-sessions")).toHaveText(String((await server.json("/metrics/active_sessions")).active_sessions));
  const day = today.data.find((row: any) => row.day === "today");
  expect(day).toMatchObject({ order_value: 49.5, orders: 2, sessions: 4, converted_sessions: 2 });
  await expect.poll(async () => digits(await tile(page, "sales").textContent())).toBe(day.order_value);
  expect(digits(await tile(page, "orders").textContent())).toBe(day.orders);
  expect(digits(await tile(page, "aov").textContent())).toBe(day.aov);
  expect(digits(await tile(page, "conversion").textContent())).toBe(day.conversion_rate * 100);
  const steps = await page.locator(".funnel-count").evaluateAll((cells) => cells.map((cell) => Number(cell.firstChild?.textContent)));
  expect(steps).toEqual(funnel.steps.map((step: any) => step.count));
  const ranked = await page.locator(".rank-card").first().locator(".bar-row").allInnerTexts();
  expect(ranked.map((text) => text.split(/\s+/))).toEqual(pages.top_pages.map((row: any) => [row.page, String(row.views)]));
  const minutes = await server.json("/api/analytics/metrics?minutes=60");
  await expect(page.getByRole("img", { name: `${minutes.totals.page_views} in all` })).toBeVisible();
});

test("an event is on the page with the tick that knows it", async ({ page }) => {
  await seed();
  await page.goto(server.url);
  await live(page);
  const last = await server.send(visit("eve", "NL", null, 123.45));
  // The first tick with the event in it, as another listener sees it.
  const stream = await fetch(`${server.url}/live`);
  const reader = stream.body!.getReader();
  let text = "";
  let wanted = 0;
  while (!wanted) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the stream ended");
    text += new TextDecoder().decode(value);
    for (const [, data] of text.matchAll(/^data: (.*)\n\n/gm)) {
      const tick = JSON.parse(data!);
      if (!wanted && tick.applied_seq >= last) wanted = tick.tick;
    }
  }
  await reader.cancel();
  await page.waitForFunction((tick) => Number(document.querySelector(".badge")?.getAttribute("data-tick")) >= tick, wanted);
  expect(await page.locator("tr", { hasText: "o-eve" }).innerText()).toContain("€123.45");
  expect(digits(await page.locator('[data-tile="seq"]').textContent())).toBeGreaterThanOrEqual(last);
  await expect(page.locator("tr", { hasText: "o-eve" })).toContainText("Netherlands");
  const today = (await server.json("/analytics/now/today")).data[0];
  await expect.poll(async () => digits(await tile(page, "orders").textContent())).toBe(today.orders);
});

test("a click narrows everything, and the address keeps it", async ({ page }) => {
  await seed();
  await page.goto(server.url);
  await live(page);
  await page.getByRole("button", { name: /Germany/ }).first().click();
  await expect(page).toHaveURL(/country=DE/);
  const today = await server.json("/analytics/now/today?country=DE");
  await expect.poll(async () => (await tile(page, "active-users").textContent()) === (await users("country=DE"))).toBe(true);
  await expect.poll(async () => digits(await tile(page, "sales").textContent())).toBe(today.data[0].order_value);
  await expect(page.locator(".rank-card").nth(3).locator(".bar-row")).toHaveCount(1);

  await page.getByRole("button", { name: /\/product\/lamp/ }).first().click();
  await expect(page).toHaveURL(/page=%2Fproduct%2Flamp/);
  await expect(page.getByRole("img", { name: /Views and visitors of \/product\/lamp/ })).toBeVisible();
  await page.reload();
  await expect(page.locator(".chip")).toHaveCount(2);
  await page.goBack();
  await expect(page.locator(".chip")).toHaveCount(1);

  await page.getByLabel("Filter by user id").fill("ann");
  await page.keyboard.press("Enter");
  await expect.poll(async () => (await tile(page, "active-users").textContent()) === (await users("user_id=ann"))).toBe(true);
  await expect(page.locator("tbody tr")).toHaveCount(1);
  await page.getByRole("button", { name: "Clear all" }).click();
  await expect(page).toHaveURL(`${server.url}/`);
  await expect.poll(async () => (await tile(page, "active-users").textContent()) === (await users())).toBe(true);
});

test("the shop's own time zone, wherever the reader is", async ({ page }) => {
  await seed();
  await page.goto(server.url);
  await live(page);
  const order = (await server.json("/analytics/now/orders")).data[0];
  const local = new Intl.DateTimeFormat("en-GB", { timeZone: "Europe/Berlin", timeStyle: "medium" }).format(Date.parse(order.event_ts));
  await expect(page.locator("tbody tr").first()).toContainText(local);
});

test.describe("when the server goes away", () => {
  test.use({ expected: ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET"] });

  test("the page says so, keeps its picture, and comes back by itself", async ({ page }) => {
    await seed();
    await page.goto(server.url);
    await live(page);
    await expect(tile(page, "sales")).not.toHaveText("–");
    await server.stop();
    await expect(page.locator(".badge")).toHaveAttribute("data-link", "lost");
    await expect(page.locator(".badge")).toContainText("Reconnecting");
    await expect(page.locator("tr", { hasText: "o-ann" })).toBeVisible();
    await server.start();
    await live(page);
    await server.send(visit("fay", "PT", null, 12));
    await expect(page.locator("tr", { hasText: "o-fay" })).toBeVisible();
    await expect(page.locator(".trouble")).toHaveCount(0);
  });
});
