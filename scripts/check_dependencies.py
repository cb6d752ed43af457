#!/usr/bin/env python3
"""Checks the dependencies against deny.toml: licences, duplicate crates, sources.

A stand-in for `cargo deny check bans licenses sources` on machines without cargo-deny, whose build takes longer than
the rest of a warm `make test`. It reads the same deny.toml, so that there is one list of what is allowed.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


def packages(target: str) -> list[dict]:
    """Every package in the graph of `target`, our own included."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    return [package for package in metadata["packages"] if package["id"] in used]


def satisfied(expression: str, allowed: set[str]) -> bool:
    """Whether an SPDX expression can be met with the allowed licences: AND, OR, WITH and brackets."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    position = 0

    def either() -> bool:
        nonlocal position
        met = both()
        while position < len(tokens) and tokens[position] == "OR":
            position += 1
            met = both() or met
        return met

    def both() -> bool:
        nonlocal position
        met = one()
        while position < len(tokens) and tokens[position] == "AND":
            position += 1
            met = one() and met
        return met

    def one() -> bool:
        nonlocal position
        if tokens[position] == "(":
            position += 1
            met = either()
            position += 1
            return met
        licence = tokens[position]
        position += 1
        if position < len(tokens) and tokens[position] == "WITH":
            licence = f"{licence} WITH {tokens[position + 1]}"
            position += 2
        return licence in allowed

    return either()


def skips(version: str, requirement: str) -> bool:
    """Whether a version is one that `crate@requirement` in the skip list means."""
    return version == requirement or version.startswith(requirement + ".")


def check(rules: dict, found: list[dict]) -> list[str]:
    problems = []
    allowed = set(rules["licenses"]["allow"])
    exceptions = {e["crate"]: set(e["allow"]) for e in rules["licenses"].get("exceptions", [])}
    for package in found:
        name = f"{package['name']} {package['version']}"
        if package["source"] is None:
            continue
        if package["source"] != CRATES_IO:
            problems.append(f"{name}: comes from {package['source']}, not from crates.io")
        licence = package["license"]
        if licence is None:
            problems.append(f"{name}: states no licence")
        elif not satisfied(licence, allowed | exceptions.get(package["name"], set())):
            problems.append(f"{name}: {licence} is not among the allowed licences")
    skipped = [entry["crate"].split("@") for entry in rules["bans"].get("skip", [])]
    versions = defaultdict(set)
    for package in found:
        if not any(package["name"] == name and skips(package["version"], v) for name, v in skipped):
            versions[package["name"]].add(package["version"])
    for name, several in sorted(versions.items()):
        if len(several) > 1:
            problems.append(f"{name}: {' and '.join(sorted(several))} are both built; see bans.skip")
    return problems


def main() -> int:
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    found = {p["id"]: p for target in rules["graph"]["targets"] for p in packages(target)}
    problems = check(rules, list(found.values()))
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    print(f"dependencies: {len(found)} crates checked for licence, duplicates and source, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
