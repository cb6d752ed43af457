#!/usr/bin/env python3
"""Runs the README's first steps as a newcomer would paste them: the server's own block in a shell of its own, then every other
block, in order, in one shell and one folder. Every command must succeed and say something; every link of the documents must
lead somewhere.

What is replaced: the port (a free one), the build (the one under test). curl is made to fail on an error's status.
"""

import argparse
import os
import re
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
PORT = "127.0.0.1:8080"
# A pasted block that says nothing at all is suspicious; these only set something.
SILENT = re.compile(r"^(export|cd|#)")
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md", "docs", "benches/README.md", "data/README.md",
             "queries/README.md", "notebooks/README.md"]


def blocks(text: str) -> list[tuple[str, str]]:
    """(kind, content) of every fenced block."""
    return re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.M | re.S)


def anchor(title: str) -> str:
    """How a heading is linked to."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def broken_links() -> list[str]:
    broken = []
    files = [f for name in DOCUMENTS for f in ([ROOT / name] if (ROOT / name).is_file() else sorted((ROOT / name).glob("*.md")))]
    for file in files:
        for target in re.findall(r"\]\(([^)\s]+)\)", file.read_text()):
            if target.startswith(("http://", "https://")):
                continue
            path, _, section = target.partition("#")
            leads = (file.parent / path) if path else file
            if not leads.exists():
                broken.append(f"{file.relative_to(ROOT)}: {target} is not there")
            elif section and leads.suffix == ".md":
                titles = re.findall(r"^#+ (.*)$", leads.read_text(), re.M)
                if section not in map(anchor, titles):
                    broken.append(f"{file.relative_to(ROOT)}: {target} has no such heading")
    return broken


def wait_until_ready(address: str, server: subprocess.Popen) -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with {server.returncode}")
        try:
            urllib.request.urlopen(f"http://{address}/health/ready", timeout=5)
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the server did not become ready")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tideline", type=Path, required=True, help="the program under test")
    binary = parser.parse_args().tideline.resolve()
    found = blocks((ROOT / "README.md").read_text())
    start = [content for kind, content in found if kind == "sh start"]
    steps = [(kind, content) for kind, content in found if kind in ("sh", "python")]
    assert len(start) == 1 and len(steps) >= 8, f"{len(start)} blocks start a server, {len(steps)} are steps"
    wrong = broken_links()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("data", "scripts", "notebooks", "queries"):
            (folder / name).symlink_to(ROOT / name)
        (folder / "target/release").mkdir(parents=True)
        (folder / "target/release/tideline").symlink_to(binary)
        # Pasted, curl shows an error and goes on; here that is a failure. The commands' default address is the README's.
        tools = folder / "tools"
        tools.mkdir()
        real_curl = subprocess.run(["which", "curl"], check=True, capture_output=True, text=True).stdout.strip()
        (tools / "curl").write_text(f'#!/bin/sh\nexec {real_curl} -sS --fail-with-body "$@"\n')
        shim = f'#!/bin/sh\ncase "$1" in serve|completions|config|check|doctor) exec {binary} "$@";; esac\n' \
               f'exec {binary} "$@" --url http://{address}\n'
        (folder / "shim").mkdir()
        (folder / "shim/tideline").write_text(shim)
        for tool in (tools / "curl", folder / "shim/tideline"):
            tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "TIDELINE_LISTEN": address}
        server = subprocess.Popen(["bash", "-c", f"exec {start[0].strip()}"], cwd=folder, env=environment,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            wait_until_ready(address, server)
            script = "set -e\n"
            for number, (kind, content) in enumerate(steps, 1):
                content = content.replace(PORT, address).replace("$PWD/target/release:", "$PWD/shim:")
                script += f"echo '@@ {number}'\n"
                script += f"{sys.executable} - << 'END_OF_BLOCK'\n{content}END_OF_BLOCK\n" if kind == "python" else content
                script += "\n"
            done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
            said = re.split(r"^@@ (\d+)\n", done.stdout, flags=re.M)[1:]
            for number, output in zip(map(int, said[::2]), said[1::2]):
                kind, content = steps[number - 1]
                loud = [line for line in content.splitlines() if line and not SILENT.match(line)]
                if loud and not output.strip() and "-OJ" not in content:
                    wrong.append(f"step {number} says nothing:\n{content}")
            if done.returncode != 0:
                wrong.append(f"step {len(said) // 2} failed with {done.returncode}:\n{steps[len(said) // 2 - 1][1]}\n"
                             f"{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
            else:
                print(f"{len(steps)} blocks of the README ran as they are")
            if not list(folder.glob("*.parquet")) or not list((folder / "january").rglob("*.parquet")):
                wrong.append("the exports are not there")
        finally:
            server.terminate()
            server.wait(timeout=120)
    for line in wrong:
        print(f"WRONG: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
