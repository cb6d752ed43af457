#!/usr/bin/env python3
"""The API against its own description: the document is valid OpenAPI 3.1, and whatever is sent to an operation, the
answer is never a 5xx and never of a status, media type or shape that the document does not name.

Requests come from the document (schemathesis): examples, boundary values, then random ones, valid and not, in a number
that is bounded and seeded. What is left out is in EXCLUDED, with the reason.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from server import Server  # noqa: E402 - it is beside this folder

EXCLUDED = {
    "/live": "its answer never ends; tests of its own read it (server/tests/it/live.rs)",
    "/ws": "schemathesis speaks no WebSocket; tests of its own do",
}
# In a run of their own, with a key: the first key made locks out whoever has none.
WITH_KEY = ["/admin/keys", "/admin/keys/{id}", "/session"]
CHECKS = ("no_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
          "response_headers_conformance,unsupported_method")


def sample() -> list[bytes]:
    """A day's events: some in the table's files, some in the buffer, some refused."""
    lines = (HERE.parents[2] / "data" / "week.ndjson").read_bytes().splitlines()
    return [b"\n".join(lines[: len(lines) // 2]), b"\n".join(lines[len(lines) // 2 :] + [b'{"event_type":"purchase"}'])]


ALL_PHASES, FEW_PHASES = "examples,coverage,fuzzing", "examples,fuzzing"


def fuzz(server: Server, phases: str, examples: int, seed: int, *more: str) -> bool:
    """One schemathesis process. It has one worker: Hypothesis parses source code while it draws, and CPython's parser
    counts its depth for all threads in one place (python/cpython#106905), so two workers fail now and then."""
    command = [Path(sys.executable).with_name("schemathesis"), "run", f"{server.url}/openapi.json", "--checks", CHECKS,
               "--phases", phases, "--max-examples", str(examples), "--seed", str(seed),
               "--generation-deterministic", "--no-shrink", "--workers", "1", "--suppress-health-check",
               "all", "--continue-on-failure", "--request-timeout", "60", "--no-color", "--warnings", "off", *more]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE)}
    with tempfile.TemporaryDirectory() as elsewhere:
        done = subprocess.run(command, env=environment, cwd=elsewhere, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        print(done.stdout)
    else:
        print("\n".join(line for line in done.stdout.splitlines() if "generated" in line or "Operations" in line))
    return done.returncode == 0


def run(server: Server, arguments: argparse.Namespace) -> bool:
    for ack, lines in zip(("committed", "durable"), sample()):
        server.request("POST", f"/events?ack={ack}", lines, "application/x-ndjson")
    document = json.loads(server.fetch("GET", "/openapi.json"))
    OpenAPIV31SpecValidator(document).validate()
    operations = sum(len(item) for item in document["paths"].values())
    print(f"api: the document is valid OpenAPI 3.1, {operations} operations; left out of the fuzz run:")
    for path, reason in EXCLUDED.items():
        print(f"  {path}: {reason}")
    # Suffixes are their path again in another format, and all metrics but one go the same road: a few requests each.
    alike = [path for path, item in document["paths"].items() if path != "/analytics/sales/daily"
             and all("x-same-as" in o or o["tags"] == ["Metrics"] for o in item.values())]
    left_out = [flag for path in [*EXCLUDED, *WITH_KEY, *alike] for flag in ("--exclude-path", path)]
    only = [flag for path in alike for flag in ("--include-path", path)]
    with ThreadPoolExecutor() as side_by_side:
        runs = [side_by_side.submit(fuzz, server, ALL_PHASES, arguments.examples, arguments.seed, *left_out),
                side_by_side.submit(fuzz, server, FEW_PHASES, max(arguments.examples // 5, 1), arguments.seed, *only)]
        good = all([run.result() for run in runs])
    new = json.dumps({"name": "api", "scopes": ["admin"]}).encode()
    key = server.request("POST", "/admin/keys", new)["key"]
    only = [flag for path in WITH_KEY for flag in ("--include-path", path)]
    good &= fuzz(server, ALL_PHASES, arguments.examples, arguments.seed, *only, "--header", f"Authorization: Bearer {key}")
    if server.process.poll() is not None:
        raise RuntimeError(f"the server ended with {server.process.returncode}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tideline", type=Path, required=True, help="the binary")
    parser.add_argument("--examples", type=int, default=10, help="random requests for each operation")
    parser.add_argument("--seed", type=int, default=1, help="another one asks other things")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tideline-api-") as folder:
        server = Server(arguments.tideline, Path(folder) / "data", "query.timeout=30s", "query.max_timeout=60s",
                        "flush.age=1h", "log.level=warn")
        try:
            good = run(server, arguments)
            server.stop()
        except Exception as error:  # noqa: BLE001 - the server's log belongs to every failure
            server.process.kill()
            print(f"api: {error}", file=sys.stderr)
            good = False
        if not good:
            sys.stderr.writelines(server.log[-40:])
    print("api: every answer is as the document says" if good else "api: answers differ from the document")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
