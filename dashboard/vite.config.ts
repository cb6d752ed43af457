// How the page is built: into dist/, which the server's build takes in whole.
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// `npm run dev` shows edits at once, over a server of yours.
const server = process.env["TIDELINE_URL"] ?? "http://127.0.0.1:8080";
const api = [
  "/analytics", "/admin", "/api", "/config", "/events", "/export", "/funnel", "/health", "/kpis", "/live", "/metrics",
  "/queries", "/session", "/sessions", "/sql", "/users", "/version",
];

export default defineConfig({
  plugins: [react()],
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // The console's editor stands alone, so that nobody else waits for it.
    chunkSizeWarningLimit: 600,
  },
  server: {
    // The server answers its own pages only: to it, this one is.
    proxy: Object.fromEntries(api.map((path) => [path, { target: server, changeOrigin: true, headers: { origin: server } }])),
  },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});
