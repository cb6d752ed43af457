import { readFileSync } from "node:fs";

import { expect, test } from "./page";

test("an address restores the view", async ({ page, demo: server }) => {
  await page.goto(`${server.url}/history/sales/daily?start=-6d&compare=previous&_view=table`);
  const answer = await server.json("/analytics/sales/daily?start=-6d&end=yesterday&compare=previous");
  await expect(page.getByRole("heading", { name: "Sales by day" })).toBeVisible();
  await expect(page.getByRole("button", { name: "7 days" })).toHaveAttribute("aria-pressed", "true");
  await expect(page.getByLabel("Compare with the range before")).toBeChecked();
  // Yesterday is over: its row is what the API says.
  const row = answer.data[0];
  const money = new Intl.NumberFormat("en-GB", { style: "currency", currency: "EUR" }).format(row.net);
  await expect(page.locator("tbody tr", { hasText: money })).toHaveCount(1);

  await page.getByRole("button", { name: "Chart" }).click();
  await page.getByLabel("Measure").selectOption("orders");
  await page.getByRole("button", { name: "30 days" }).click();
  await expect(page).toHaveURL(/start=-29d.*_y=orders|_y=orders.*start=-29d/);
  await page.reload();
  await expect(page.getByLabel("Measure")).toHaveValue("orders");
  await expect(page.getByRole("img", { name: /^Orders over time: 30 points/ })).toBeVisible();
  await expect(page.getByLabel("curl command")).toBeHidden();
  await page.getByText("For a terminal").click();
  await expect(page.getByLabel("curl command")).toContainText("--data-urlencode 'start=-29d'");
});

test("a custom range, a filter, and what is wrong with one", async ({ page, expected, demo: server }) => {
  expected.push("400 (Bad Request)");
  await page.goto(`${server.url}/history/sales/daily`);
  await page.getByRole("button", { name: "Custom" }).click();
  await page.getByLabel("From", { exact: true }).fill("2020-01-01");
  await page.getByLabel("To", { exact: true }).fill("2020-01-31");
  await expect(page.getByText("Nothing in this range")).toBeVisible();
  await page.goto(`${server.url}/history/sales/daily?start=soon`);
  await expect(page.getByRole("alert")).toContainText("must be a date");
});

test("a metric that needs something says what", async ({ page, demo: server }) => {
  await page.goto(`${server.url}/history/traffic/page`);
  await expect(page.getByText("This metric needs page")).toBeVisible();
  await page.getByLabel("Page *").fill("/");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/page=%2F/);
  await expect(page.getByRole("img", { name: /^Views over time/ })).toBeVisible();
});

test("every kind of chart draws the demo's data", async ({ page, demo: server }) => {
  const { metrics } = await server.json("/analytics");
  for (const kind of ["bars", "line", "table", "number", "funnel", "heatmap"]) {
    const metric = metrics.find((m: any) => m.chart === kind && !m.params.some((p: any) => p.required) && !m.name.startsWith("quality/"));
    await page.goto(`${server.url}/history/${metric.name}`);
    await expect(page.getByRole("heading", { level: 1, name: metric.summary })).toBeVisible();
    await expect(page.locator(".metric .chart canvas, .metric .bar-list, .metric .table, .metric .numbers, .metric .funnel, .metric .heat").first(), metric.name).toBeVisible();
    await expect(page.locator(".trouble")).toHaveCount(0);
  }
});

test("a download is what the API answers", async ({ page, demo: server }) => {
  await page.goto(`${server.url}/history/sales/daily?start=yesterday&end=yesterday`);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "CSV" }).click()]);
  expect(download.suggestedFilename()).toBe("sales-daily.csv");
  expect(readFileSync(await download.path(), "utf8")).toBe(await server.text("/analytics/sales/daily.csv?start=yesterday&end=yesterday"));
  const [parquet] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Parquet" }).click()]);
  expect(readFileSync(await parquet.path()).subarray(0, 4).toString()).toBe("PAR1");
});
