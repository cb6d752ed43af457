"""`segment-analytics-python`, `analytics-python` and `rudder-sdk-python`: `sdk.py MODULE PLAN.json`."""

import importlib
import json
import sys
from datetime import datetime
from pathlib import Path

module, plan = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
failures = []
options = {"host": plan["url"], "max_retries": 30, "on_error": lambda error, _: failures.append(error)}
if module != "rudder_analytics":
    options |= {"upload_size": 5, "upload_interval": 0.2, "gzip": True}
else:
    options |= {"flush_at": 5, "flush_interval": 0.2}
sdk = importlib.import_module(f"{module}.client")
if plan.get("snippet"):
    client = eval(plan["snippet"], {module.split(".")[0]: importlib.import_module(module.split(".")[0]), "KEY": plan["key"]})
else:
    client = sdk.Client(plan["key"], **options)
NAMES = {"userId": "user_id", "anonymousId": "anonymous_id", "groupId": "group_id", "previousId": "previous_id"}
for message in plan["calls"]:
    call = message.pop("call")
    if "timestamp" in message:
        message["timestamp"] = datetime.fromisoformat(message["timestamp"])
    getattr(client, call)(**{NAMES.get(name, name): value for name, value in message.items()})
client.flush()
client.join()
if failures:
    sys.exit(f"{module}: {failures}")
