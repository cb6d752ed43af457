"""Starts, watches and stops a Tideline server, and drives the load client."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Binaries:
    """The programs under test."""

    tideline: Path
    generate: Path
    post: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One server process on a data folder."""

    def __init__(self, binary: Path, data_dir: Path, settings: dict[str, str] | None = None):
        self.address = f"127.0.0.1:{free_port()}"
        self.data_dir = data_dir
        self.log = data_dir.with_name(data_dir.name + ".log")
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        command = [binary, "serve", "--listen", self.address, "--data-dir", data_dir]
        for key, value in (settings or {}).items():
            command += ["--set", f"{key}={value}"]
        started = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self._wait_ready()
        self.ready_after_s = time.monotonic() - started

    @property
    def lake(self) -> Path:
        return self.data_dir / "lake"

    def _wait_ready(self, limit_s: float = 120) -> None:
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                tail = self.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"the server ended with {self.process.returncode}:\n{tail}")
            try:
                connection = http.client.HTTPConnection(self.address, timeout=5)
                connection.request("GET", "/health/ready")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.01)
        raise RuntimeError("the server did not become ready")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def peak_bytes(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
        return 0

    def stop(self) -> float:
        """Asks the server to end; returns how long it took."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)
        return time.monotonic() - started

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def post(binaries: Binaries, server: Server, *arguments: object) -> dict:
    """Runs the load client and returns its report."""
    command = [binaries.post, "--url", f"http://{server.address}/events", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)
