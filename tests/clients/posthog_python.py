"""`posthog`: `posthog_python.py PLAN.json`."""

import json
import sys
from pathlib import Path

import posthog

plan = json.loads(Path(sys.argv[1]).read_text())
failures = []
if plan.get("snippet"):
    client = eval(plan["snippet"], {"posthog": posthog, "KEY": plan["key"]})
    client.on_error = lambda error, _: failures.append(error)
else:
    client = posthog.Posthog(plan["key"], host=plan["url"], max_retries=30, flush_at=5, flush_interval=0.2, gzip=True,
                             on_error=lambda error, _: failures.append(error))
for message in plan["calls"]:
    call, who = message["call"], message["userId"]
    if call == "identify":
        client.set(distinct_id=who, properties=message["traits"])
    elif call == "page":
        properties = dict(message["properties"])
        properties |= {"$pathname": properties.pop("path"), "$current_url": properties.pop("url")}
        client.capture("$pageview", distinct_id=who, properties=properties)
    elif call == "track":
        client.capture(message["event"], distinct_id=who, properties=message["properties"])
    elif call == "group":
        client.group_identify("company", message["groupId"], properties=message["traits"], distinct_id=who)
    elif call == "alias":
        client.alias(previous_id=who, distinct_id=message["previousId"])
client.shutdown()
if failures:
    sys.exit(f"posthog: {failures}")
