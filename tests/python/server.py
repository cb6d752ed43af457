"""A real server for the Python tests and the notebooks, stopped by its own process."""

import http.client
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path


class Server:
    """`tideline serve` on a folder of its own and a free loopback port; `with` stops it, and shows its log on failure.

    `settings` are given as `--set` takes them: `"flush.age=200ms"`. With a `port` it is that one; with `authority`, the path
    of a certificate, it is spoken to through TLS; a `key` goes with requests.
    """

    def __init__(self, binary: Path, folder: Path, *settings: str, port: int = 0, authority: Path | None = None,
                 key: str | None = None):
        self.key = key
        self.context = ssl.create_default_context(cafile=authority) if authority else None
        self.headers = {"authorization": f"Bearer {key}"} if key else {}
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            self.port = probe.getsockname()[1]
        self.url = f"{'https' if authority else 'http'}://127.0.0.1:{self.port}"
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
                raise RuntimeError(f"the server ended with {self.process.returncode}: {''.join(self.log[-5:])}")
            try:
                self.fetch("GET", "/health/ready")
                return
            except (OSError, RuntimeError):
                time.sleep(0.1)
        raise RuntimeError("the server did not become ready")

    def fetch(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        """The bytes of an answer; an error where it is none of success."""
        if self.context:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=300, context=self.context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        connection.request(method, path, body, {"content-type": kind} | self.headers)
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path} answered {response.status}: {answer.decode(errors='replace')}")
        return answer

    def request(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> dict:
        """The JSON of an answer, its numbers exact."""
        return json.loads(self.fetch(method, path, body, kind) or b"{}", parse_float=Decimal)

    def text(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> str:
        return self.fetch(method, path, body, kind).decode()

    def stop(self) -> None:
        """Asks it to stop, and waits until it has."""
        self.process.terminate()
        code = self.process.wait(timeout=300)
        if code != 0:
            raise RuntimeError(f"the server ended with {code} when asked to stop")

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, failure: type | None, *_: object) -> None:
        if failure:
            self.process.kill()
            self.process.wait()
            sys.stderr.writelines(self.log[-40:])
        elif self.process.poll() is None:
            self.stop()
