#!/usr/bin/env python3
"""Runs every notebook of this folder against a real server that holds the season of season.py, and fails with the first
cell that does. In the repository notebooks are kept without outputs; that is checked first.

    notebooks/.venv/bin/python notebooks/run.py --tideline target/debug/tideline    # what `make notebooks` does
    notebooks/.venv/bin/python notebooks/run.py --tideline … --keep FOLDER           # and keeps them with their outputs
    notebooks/.venv/bin/python notebooks/run.py --strip                              # removes outputs after editing
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tests/python"))
from server import Server  # noqa: E402

NOTEBOOKS = sorted(HERE.glob("[0-9]*.ipynb"))
# A guard against a cell that hangs.
CELL_SECONDS = 120


def stripped(text: str) -> str:
    """A notebook as it is kept: no outputs, no counts, nothing of the machine it ran on."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        cell["metadata"] = {}
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    notebook["metadata"] = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def execute(path: Path, keep: Path | None) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    client = NotebookClient(notebook, timeout=CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(HERE)}},
                            extra_arguments=["--IPKernelApp.log_level=ERROR"])
    try:
        client.execute()
    finally:
        if keep:
            nbformat.write(notebook, keep / path.name)


def run(binary: Path, keep: Path | None) -> None:
    with tempfile.TemporaryDirectory(prefix="tideline-notebooks-") as folder:
        folder = Path(folder)
        data = folder / "data"
        season = subprocess.run([sys.executable, HERE / "season.py"], check=True, capture_output=True).stdout
        with Server(binary, data, "shop.time_zone=Europe/Berlin", "query.timeout=2m") as server:
            load = [binary, "load", "-", "--format", "ndjson", "--url", server.url, "--strict", "--quiet"]
            subprocess.run(load, input=season, check=True, stdout=subprocess.DEVNULL)
            # What Jupyter and matplotlib keep stays out of the home folder.
            os.environ |= {"TIDELINE_URL": server.url, "TIDELINE_DATA_DIR": str(data), "IPYTHONDIR": str(folder),
                           "JUPYTER_RUNTIME_DIR": str(folder), "MPLCONFIGDIR": str(folder)}
            for path in NOTEBOOKS:
                begun = time.monotonic()
                execute(path, keep)
                print(f"notebooks: {path.name} in {time.monotonic() - begun:.0f} s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tideline", type=Path, help="the binary")
    parser.add_argument("--keep", type=Path, help="a folder for the notebooks with their outputs")
    parser.add_argument("--strip", action="store_true", help="remove the outputs, and run nothing")
    arguments = parser.parse_args()
    if arguments.strip:
        for path in NOTEBOOKS:
            path.write_text(stripped(path.read_text()))
        return 0
    if not arguments.tideline or not NOTEBOOKS:
        parser.error("--tideline is needed, and notebooks beside this file")
    unclean = [path.name for path in NOTEBOOKS if path.read_text() != stripped(path.read_text())]
    if unclean:
        print(f"notebooks: {', '.join(unclean)}: remove the outputs: notebooks/run.py --strip", file=sys.stderr)
        return 1
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    try:
        run(arguments.tideline.resolve(), arguments.keep)
    except CellExecutionError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
