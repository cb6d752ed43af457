// `@rudderstack/rudder-sdk-node`: `node rudder_node.js PLAN.json`.
import { readFileSync } from "node:fs";

import RudderAnalytics from "@rudderstack/rudder-sdk-node";

const { url, key, calls, snippet } = JSON.parse(readFileSync(process.argv[2], "utf8"));
let failure;
const analytics = snippet
  ? new Function("RudderAnalytics", "KEY", `return ${snippet}`)(RudderAnalytics, key)
  : new RudderAnalytics(key, {
      dataPlaneUrl: url,
      flushAt: 5,
      flushInterval: 200,
      // By itself it gives up after three tries, and keeps nothing.
      retryCount: 30,
      axiosRetryConfig: { retryDelay: () => 500 },
      errorHandler: (error) => { failure = error; },
    });
for (const { call, ...message } of calls) analytics[call](message);
await analytics.flush();
if (failure) {
  console.error(failure);
  process.exit(1);
}
