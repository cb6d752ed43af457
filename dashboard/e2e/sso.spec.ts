// Single sign-on with a provider that is certified for OpenID Connect (https://github.com/panva/node-oidc-provider), in a browser,
// and across sites: the server is 127.0.0.1 here and the provider is localhost.
import type { AddressInfo } from "node:net";
import { createServer } from "node:http";

import { type Page, expect, test } from "@playwright/test";
import { Provider } from "oidc-provider";

import { Server } from "./server";

let server: Server;
let key = "";
let stopProvider: () => void;

test.beforeAll(async () => {
  // The first key; a server without any is not started with single sign-on.
  server = await Server.serve();
  const made = await fetch(`${server.url}/admin/keys`, {
    method: "POST", body: JSON.stringify({ name: "admin", scopes: ["admin"] }), headers: { "content-type": "application/json" },
  });
  key = ((await made.json()) as { key: string }).key;
  await server.stop();

  const http = createServer();
  await new Promise<void>((ready) => http.listen(0, "localhost", ready));
  const issuer = `http://localhost:${(http.address() as AddressInfo).port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: "tideline", client_secret: "hunter2:with%signs", redirect_uris: [`${server.url}/session/oidc/callback`] }],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    // Whoever types a name is that person; the address of one is not verified.
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, name: `${id} of the shop`, email: `${id}@shop.example`, email_verified: id !== "mallory" }),
    }),
    pkce: { required: () => true },
  });
  http.on("request", provider.callback());
  stopProvider = () => void http.close();
  server.configure({
    TIDELINE_OIDC_ISSUER: issuer, TIDELINE_OIDC_CLIENT_ID: "tideline", TIDELINE_OIDC_CLIENT_SECRET: "hunter2:with%signs",
    TIDELINE_OIDC_PUBLIC_URL: server.url, TIDELINE_OIDC_ALLOW_READ: "@shop.example", TIDELINE_OIDC_ALLOW_ADMIN: "anna@shop.example",
  });
  await server.start();
});
test.afterAll(async () => {
  await server.end();
  stopProvider();
});

/** Over the provider's own pages: who one is, and that this server may know. */
async function signIn(page: Page, name: string): Promise<void> {
  await page.goto(server.url);
  await page.getByRole("link", { name: "single sign-on" }).click();
  await page.getByPlaceholder("Enter any login").fill(name);
  await page.getByPlaceholder("and password").fill("anything");
  await page.getByRole("button", { name: "Sign-in" }).click();
  await page.getByRole("button", { name: "Continue" }).click();
  await page.waitForURL(`${server.url}/**`);
}

test("somebody signs in at the provider, is known on the page, and signs out", async ({ page, context }) => {
  await signIn(page, "anna");
  await expect(page.locator(".who")).toContainText("anna of the shop");
  expect(new URL(page.url()).search).toBe("");
  const session = (await context.cookies(server.url)).find((cookie) => cookie.name === "tideline_session");
  expect(session).toMatchObject({ httpOnly: true, sameSite: "Strict" });
  const who = await page.request.get(`${server.url}/session`);
  expect(await who.json()).toMatchObject({ by: "session", key_id: null, scopes: ["read", "admin"] });
  // The cookie is the page's after a reload, too, and of a link from elsewhere the page asks with it itself.
  await page.reload();
  await expect(page.locator(".who")).toContainText("anna of the shop");
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByLabel("API key")).toBeVisible();
});

test("whom no rule names is told so, and may still use a key", async ({ page }) => {
  await signIn(page, "mallory");
  await expect(page.getByRole("alert")).toContainText("nobody has given you access");
  await page.screenshot({ path: "test-results/sign-in.png" });
  await page.getByLabel("API key").fill(key);
  await page.keyboard.press("Enter");
  await expect(page.locator(".who")).toContainText("admin");
  expect(new URL(page.url()).search).toBe("");
});

test("whoever cancels at the provider is back where they were", async ({ page }) => {
  await page.goto(server.url);
  await page.getByRole("link", { name: "single sign-on" }).click();
  await page.getByRole("link", { name: "Cancel" }).click();
  await expect(page.getByRole("alert")).toContainText("did not let you in");
  await expect(page.getByLabel("API key")).toBeVisible();
});
