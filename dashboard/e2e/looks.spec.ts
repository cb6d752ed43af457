// The page as it is seen: three widths, light and dark, by keyboard, by a screen reader's rules. Screenshots stay in
// test-results/.
import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";

import { expect, live, test } from "./page";

const VIEWS = { live: "/", history: "/history/sales/hourly?start=yesterday", console: "/console", operations: "/operations" };

async function settled(page: Page, view: string): Promise<void> {
  await live(page);
  if (view === "console") {
    await page.getByRole("button", { name: "Run" }).click();
    await expect(page.locator(".data-row").first()).toBeVisible();
  }
  await expect(page.locator(".bone")).toHaveCount(0);
  if (view !== "console") await expect(page.locator("canvas").first()).toBeVisible();
}

for (const [view, path] of Object.entries(VIEWS)) {
  for (const scheme of ["light", "dark"] as const) {
    test(`${view}, ${scheme}`, async ({ page, demo: server }, info) => {
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
      await page.goto(server.url + path);
      await settled(page, view);
      for (const width of [1440, 820, 390]) {
        await page.setViewportSize({ width, height: width === 390 ? 844 : 900 });
        await expect.poll(() => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth), `${view} at ${width} scrolls sideways`).toBeLessThanOrEqual(0);
        await page.screenshot({ path: info.outputPath(`${view}-${scheme}-${width}.png`), fullPage: true });
      }
      const { violations } = await new AxeBuilder({ page }).analyze();
      const grave = violations.filter((v) => v.impact === "serious" || v.impact === "critical");
      expect(grave.map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(" ")).join("; ")}`)).toEqual([]);
      const ground = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
      expect(Number(/\d+/.exec(ground)![0]) < 128).toBe(scheme === "dark");
    });
  }
}

test("the reader's own choice of colours is kept", async ({ page, demo: server }) => {
  await page.goto(server.url);
  await page.getByRole("button", { name: "Dark" }).click();
  await page.reload();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
  await page.getByRole("button", { name: "As the system" }).click();
  await expect(page.locator("html")).not.toHaveAttribute("data-theme");
});

test("every view is reached and used by the keyboard alone", async ({ page, demo: server }) => {
  await page.goto(server.url);
  await live(page);
  await page.keyboard.press("Tab");
  await expect(page.getByText("Skip to the content")).toBeFocused();
  const history = page.getByRole("navigation", { name: "Views" }).getByRole("link", { name: "History" });
  for (let i = 0; i < 6 && !(await history.evaluate((element) => element === document.activeElement)); i += 1) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1, name: "Sales by day" })).toBeVisible();
  await page.goBack();
  const row = page.locator("button.bar-row").first();
  await row.focus();
  await page.keyboard.press("Enter");
  await expect(page.locator(".chip")).toHaveCount(1);
});

test("there is no such view", async ({ page, demo: server }) => {
  await page.goto(`${server.url}/history/no/such`);
  await expect(page.getByText("There is no metric called no/such")).toBeVisible();
});
