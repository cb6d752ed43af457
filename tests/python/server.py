"""A real server for the Python tests and the notebooks, stopped by its own process."""

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path


class Server:
    """`tideline serve` on a folder of its own and a free loopback port; `with` stops it, and shows its log on failure."""

    def __init__(self, binary: Path, folder: Path, **settings: str):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        command = [binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", folder]
        for name, value in settings.items():
            command += ["--set", f"{name.replace('__', '.')}={value}"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        # The pipe must not fill up; the log is shown when something fails.
        self.log: list[str] = []
        threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True).start()
        self._wait_ready()

    def _wait_ready(self) -> None:
        for _ in range(1_200):
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}")
            try:
                self.request("GET", "/health/ready")
                return
            except (OSError, RuntimeError):
                time.sleep(0.1)
        raise RuntimeError("the server did not become ready")

    def request(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> dict:
        return json.loads(self.text(method, path, body, kind) or "{}", parse_float=Decimal)

    def text(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        connection.request(method, path, body, {"content-type": kind})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path} answered {response.status}: {text.decode(errors='replace')}")
        return text.decode()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, failure: type | None, *_: object) -> None:
        if failure:
            self.process.kill()
            self.process.wait()
            sys.stderr.writelines(self.log[-40:])
            return
        self.process.terminate()
        code = self.process.wait(timeout=60)
        if code != 0:
            raise RuntimeError(f"the server ended with {code} when asked to stop")
