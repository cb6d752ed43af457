// What every test of the page holds: nothing is asked of anybody else, and nothing goes wrong unsaid.
import { type Page, test as base, expect } from "@playwright/test";

import { Server } from "./server";

export { expect };

/** Problems a test expects to see in the browser's console, by a part of their text. */
export const test = base.extend<{ expected: string[] }, { demo: Server }>({
  // One for all who only look: its history takes a while.
  demo: [async ({}, use) => {
    const server = await Server.demo();
    await use(server);
    await server.end();
  }, { scope: "worker", timeout: 600_000 }],
  expected: [[], { option: true }],
  page: async ({ page, expected }, use) => {
    const wrong: string[] = [];
    page.on("pageerror", (error) => wrong.push(`uncaught: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error" && !expected.some((part) => message.text().includes(part))) wrong.push(message.text());
    });
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (!["127.0.0.1", ""].includes(url.hostname) && url.protocol !== "data:") wrong.push(`left the server: ${request.url()}`);
    });
    await use(page);
    expect(wrong).toEqual([]);
  },
});

/** Waits until the stream has brought something. */
export async function live(page: Page): Promise<void> {
  await expect(page.locator(".badge")).toHaveAttribute("data-link", "live");
}

export const tile = (page: Page, id: string) => page.locator(`[data-tile="${id}"] .tile-value`);

/** A number as the page shows it. */
export const digits = (text: string | null): number => Number((text ?? "").replace(/[^\d.-]/g, ""));
