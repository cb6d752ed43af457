// The page in a real Chromium against a real server. `make browser` runs it; screenshots are left in test-results/.
import { existsSync } from "node:fs";

import { defineConfig } from "@playwright/test";

const found = process.env["CHROMIUM"] ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
if (!found) throw new Error("there is no Chromium: apt-get install chromium, or name one in CHROMIUM");

export default defineConfig({
  testDir: "e2e",
  outputDir: "test-results",
  // Hang guards, not measurements.
  timeout: 240_000,
  expect: { timeout: 60_000 },
  workers: 1,
  fullyParallel: false,
  reporter: [["list"]],
  use: {
    browserName: "chromium",
    locale: "en-GB",
    timezoneId: "America/New_York",
    viewport: { width: 1440, height: 900 },
    screenshot: "only-on-failure",
    // As root, which containers are, Chromium starts without its sandbox only; it opens our own page.
    launchOptions: { executablePath: found, args: ["--no-sandbox", "--disable-dev-shm-usage"] },
  },
});
