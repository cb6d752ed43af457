import { expect, live, test } from "./page";
import { Server } from "./server";

let server: Server;
let key = "";

async function make(scope: string, by: string | undefined): Promise<string> {
  const answer = await fetch(`${server.url}/admin/keys`, {
    method: "POST", body: JSON.stringify({ name: "desk", scopes: [scope] }),
    headers: { "content-type": "application/json", ...(by ? { authorization: `Bearer ${by}` } : {}) },
  });
  if (!answer.ok) throw new Error(await answer.text());
  return ((await answer.json()) as { key: string }).key;
}

test.beforeAll(async () => {
  server = await Server.serve({ TIDELINE_SESSION_LIFETIME: "11h" });
  // The first key is an administrator's.
  const admin = await make("admin", undefined);
  key = await make("read", admin);
});
test.afterAll(() => server.end());
test.use({ expected: ["401 (Unauthorized)"] });

test("a key becomes a session, which says when it ends, and ends", async ({ page, context }) => {
  await page.goto(`${server.url}/history/sales/daily?start=-6d`);
  await page.getByLabel("API key").fill("tl_wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("alert")).toContainText("does not know this key");
  await page.getByLabel("API key").fill(key);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1, name: "Sales by day" })).toBeVisible();
  await live(page);
  await expect(page.locator(".who")).toContainText("desk");
  await expect(page.locator(".who")).toContainText("11 h left");
  const [cookie] = await context.cookies();
  expect(cookie).toMatchObject({ httpOnly: true, sameSite: "Strict" });
  expect(await page.evaluate((text) => JSON.stringify({ ...localStorage }).includes(text), key)).toBe(false);

  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByLabel("API key")).toBeVisible();
  expect((await page.request.get(`${server.url}/session`)).status()).toBe(401);
});

test("a session that ends while the page is open leads back to the sign-in", async ({ page, context }) => {
  await page.goto(server.url);
  await page.getByLabel("API key").fill(key);
  await page.keyboard.press("Enter");
  await live(page);
  await context.clearCookies();
  await expect(page.getByLabel("API key")).toBeVisible();
});
