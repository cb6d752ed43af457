// What an operator looks at when answers are slow.
import { expect, live, test } from "./page";

test("a query that took long is listed, with how it ended, and opens in the console", async ({ page, demo: server }) => {
  const text = "SELECT count(*) FROM events a, events b, events c WHERE a.seq + b.seq > c.seq + 1";
  const asked = fetch(`${server.url}/sql`, { method: "POST", body: JSON.stringify({ q: text }), headers: { "content-type": "application/json", "x-query-id": "a-slow-query-of-a-test" } });
  const running = async () => (await server.json("/admin/queries")).running.find((query: { id: string }) => query.id === "a-slow-query-of-a-test");
  await expect.poll(async () => (await running())?.elapsed_ms ?? 0).toBeGreaterThan(1_000);
  await page.goto(`${server.url}/operations`);
  await live(page);
  const row = page.getByRole("region", { name: "Slow queries" }).getByRole("row").filter({ hasText: text });
  await expect(row).toContainText("running");
  await fetch(`${server.url}/queries/a-slow-query-of-a-test`, { method: "DELETE" });
  await asked;
  await expect(row).toContainText("cancelled", { timeout: 15_000 });
  await row.getByRole("link").click();
  await expect(page.locator(".cm-content")).toContainText(text);
});
