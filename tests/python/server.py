"""A server on a folder of its own and a free loopback port, stopped by its process id."""

import http.client
import json
import socket
import subprocess
import threading
import time
from pathlib import Path


class Server:
    """A running server. `settings` are given as `--set` takes them."""

    def __init__(self, binary: Path, folder: Path, *settings: str):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        command = [binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", folder]
        for setting in settings:
            command += ["--set", setting]
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

    def fetch(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        """The bytes of an answer; an error where it is none of success."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path} answered {response.status}: {text.decode(errors='replace')}")
        return text

    def request(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> dict:
        """The JSON of an answer."""
        return json.loads(self.fetch(method, path, body, content_type=kind) or b"{}")

    def stop(self) -> None:
        self.process.terminate()
        code = self.process.wait(timeout=300)
        if code != 0:
            raise RuntimeError(f"the server ended with {code} when asked to stop")
