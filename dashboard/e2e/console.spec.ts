import { readFileSync } from "node:fs";

import type { Page } from "@playwright/test";

import { expect, test } from "./page";
import type { Server } from "./server";

/** With this text in the editor. (Text put in through the browser's own editing would bring styles along.) */
async function open(page: Page, server: Server, sql: string): Promise<void> {
  await page.goto(`${server.url}/console?q=${encodeURIComponent(sql)}`);
  await expect(page.locator(".cm-content")).toContainText(sql.split("\n")[0]!);
}

test("runs a query, by the keyboard too, and draws it", async ({ page, demo: server }) => {
  const sql = "SELECT event_type, count(*) AS n FROM events WHERE event_date < CURRENT_DATE GROUP BY 1 ORDER BY n DESC";
  await open(page, server, sql);
  await page.locator(".cm-content").press("Control+Enter");
  const answer = await server.json(`/sql?q=${encodeURIComponent(sql)}`);
  await expect(page.locator(".data-row")).toHaveCount(answer.rows);
  await expect(page.locator(".data-row").first()).toContainText(`${answer.data[0].event_type}`);
  await expect(page.locator(".data-row").first()).toContainText(`${answer.data[0].n}`);
  await page.getByRole("button", { name: "Chart" }).click();
  await expect(page.locator(".bar-row")).toHaveCount(answer.rows);
  await page.goto(`${server.url}/console`);
  await page.locator(".past button").first().click();
  await expect(page.locator(".cm-content")).toContainText("GROUP BY 1 ORDER BY n DESC");
  await page.getByRole("button", { name: "Put into the address" }).click();
  await expect(page).toHaveURL(/q=SELECT/);
  await expect(page.locator(".past button")).toHaveCount(1);
});

test("completes names of the schema", async ({ page, demo: server }) => {
  await open(page, server, "SELECT session_id FROM events WHERE events.");
  await expect(page.locator(".schema summary").first()).toHaveText("events");
  await page.locator(".cm-content").press("Control+End");
  await page.keyboard.type("utm_c");
  await expect(page.locator(".cm-tooltip-autocomplete")).toContainText("utm_campaign");
});

test.describe("mistakes", () => {
  test.use({ expected: ["400 (Bad Request)"] });

  test("are shown where they are", async ({ page, demo: server }) => {
    await open(page, server, "SELECT count(*)\nFROM events\nWHERE evnt_type = 'x'");
    await page.getByRole("button", { name: "Run" }).click();
    await expect(page.getByTestId("failure")).toContainText("there is no column evnt_type", { ignoreCase: true });
    await expect(page.getByTestId("failure")).toContainText("event_type");
    await expect(page.getByTestId("failure")).toContainText("at line 3, column 7");
    await expect(page.locator(".cm-lintRange-error")).toHaveText("evnt_type");
  });
});

test("10,000 rows are quick to go through", async ({ page, demo: server }) => {
  await open(page, server, "SELECT event_id, event_ts, event_type, user_id, page, price FROM events ORDER BY event_ts LIMIT 20000");
  await page.getByRole("button", { name: "Run" }).click();
  const grid = page.getByRole("grid");
  await expect(grid).toHaveAttribute("aria-rowcount", "10001");
  await expect(page.getByText("Shortened to 10,000 rows")).toBeVisible();
  await grid.evaluate((element) => element.scrollTo(0, element.scrollHeight));
  await expect(page.locator(".data-row .index", { hasText: /^10000$/ })).toBeVisible();
  expect(await page.locator(".data-row").count()).toBeLessThan(80);
  await page.getByRole("columnheader", { name: "event_type" }).getByRole("button").click();
  await expect(page.getByRole("columnheader", { name: "event_type" })).toHaveAttribute("aria-sort", "ascending");
});

test.describe("a query that takes for ever", () => {
  test.use({ expected: ["Failed to load resource"] });

  test("is cancelled on the server, by its name", async ({ page, demo: server }) => {
    await open(page, server, "SELECT count(*) FROM events a, events b, events c WHERE a.seq + b.seq > c.seq");
    await page.getByRole("button", { name: "Run" }).click();
    const stopped = page.waitForResponse((answer) => answer.request().method() === "DELETE" && answer.url().includes("/queries/"));
    await expect(page.getByText(/^Running/)).toBeVisible();
    await expect.poll(async () => (await server.json("/health")).engine.queries).toBeGreaterThan(0);
    await page.getByRole("button", { name: "Cancel" }).click();
    expect((await stopped).status()).toBe(202);
    await expect(page.getByText("Cancelled", { exact: true })).toBeVisible();
    await page.goto("about:blank");
    await expect.poll(async () => (await server.json("/health")).engine.queries).toBe(0);
  });
});

test("a plan is readable", async ({ page, demo: server }) => {
  await open(page, server, "SELECT country, count(*) FROM events GROUP BY 1");
  await page.getByRole("button", { name: "Analyse" }).click();
  await expect(page.locator(".plan-name", { hasText: "AggregateExec" }).first()).toBeVisible();
  await expect(page.locator(".plan-bar").first()).toBeVisible();
});

test("all rows can be downloaded", async ({ page, demo: server }) => {
  await open(page, server, "SELECT event_type, count(*) AS n FROM events WHERE event_date < CURRENT_DATE GROUP BY 1 ORDER BY 1");
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByLabel("Download all rows as").selectOption("csv")]);
  expect(readFileSync(await download.path(), "utf8")).toMatch(/^event_type,n\r?\n/);
});
