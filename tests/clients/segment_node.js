// `@segment/analytics-node` as a shop's back end uses it: `node segment_node.js PLAN.json`.
import { readFileSync } from "node:fs";

import { Analytics } from "@segment/analytics-node";

const { url, key, calls, snippet } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const analytics = snippet
  ? new Function("Analytics", "KEY", `return ${snippet}`)(Analytics, key)
  : new Analytics({ writeKey: key, host: url, maxRetries: 30, flushAt: 5, flushInterval: 200 });
const failures = [];
analytics.on("error", (error) => failures.push(error));
for (const { call, ...message } of calls) analytics[call](message);
await analytics.closeAndFlush({ timeout: 240_000 });
if (failures.length > 0) {
  console.error(failures);
  process.exit(1);
}
