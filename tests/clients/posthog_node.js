// `posthog-node`: `node posthog_node.js PLAN.json`.
import { readFileSync } from "node:fs";

import { PostHog } from "posthog-node";

const { url, key, calls, snippet } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const client = snippet
  ? new Function("PostHog", "KEY", `return ${snippet}`)(PostHog, key)
  : new PostHog(key, { host: url, flushAt: 5, maxBatchSize: 5, flushInterval: 200, fetchRetryCount: 30, fetchRetryDelay: 500 });
const failures = [];
client.on("error", (error) => failures.push(error));
const sending = {
  identify: ({ userId, traits }) => client.identify({ distinctId: userId, properties: traits }),
  page: ({ userId, properties: { path, url: full, ...properties } }) =>
    client.capture({ distinctId: userId, event: "$pageview", properties: { $pathname: path, $current_url: full, ...properties } }),
  track: ({ userId, event, properties }) => client.capture({ distinctId: userId, event, properties }),
  group: ({ userId, groupId, traits }) =>
    client.groupIdentify({ groupType: "company", groupKey: groupId, distinctId: userId, properties: traits }),
  alias: ({ userId, previousId }) => client.alias({ distinctId: userId, alias: previousId }),
};
for (const { call, ...message } of calls) sending[call](message);
await client.shutdown(240_000);
if (failures.length > 0) {
  console.error(failures);
  process.exit(1);
}
