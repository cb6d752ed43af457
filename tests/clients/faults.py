"""A proxy in front of the real server that fails on purpose: it answers 503 or 429 itself, or cuts the connection after
the server has stored the request, or has the server killed in the middle of one. Everything else passes unchanged."""

import http.client
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


class Proxy(ThreadingHTTPServer):
    """Faults are named by the number of the POST they meet, from 1. `seen` counts those that happened."""

    daemon_threads = True

    def __init__(self, target: int, faults: dict[int, str], kill: Callable[[], None]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.target, self.faults, self.kill = target, faults, kill
        self.posts, self.seen, self.lock = 0, [], threading.Lock()
        # What the server itself answered to POSTs.
        self.statuses: list[int] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def next_fault(self) -> str | None:
        with self.lock:
            self.posts += 1
            fault = self.faults.get(self.posts)
            if fault:
                self.seen.append(fault)
            return fault

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are the purpose."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def handle_any(self) -> None:
        body = self.read_body()
        fault = self.server.next_fault() if self.command == "POST" else None
        if fault in ("503", "429"):
            return self.refuse(int(fault))
        connection = http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=120)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            connection.request(self.command, self.path, body or None, headers | {"Host": self.headers["Host"]})
            if fault == "kill":
                self.server.kill()
                return self.cut()
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            return self.cut()
        finally:
            connection.close()
        if self.command == "POST":
            self.server.statuses.append(answer.status)
        if fault == "cut":
            return self.cut()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.finish_with(data)

    do_GET = do_POST = do_OPTIONS = handle_any

    def read_body(self) -> bytes:
        if "chunked" not in (self.headers["Transfer-Encoding"] or ""):
            return self.rfile.read(int(self.headers["Content-Length"] or 0))
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def refuse(self, status: int) -> None:
        self.send_response(status)
        if origin := self.headers["Origin"]:
            self.send_header("Access-Control-Allow-Origin", origin)
            self.send_header("Access-Control-Expose-Headers", "retry-after")
        self.send_header("Retry-After", "1")
        self.finish_with(b'{"code":"rate_limited","message":"not now"}')

    def finish_with(self, data: bytes) -> None:
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """The test says what matters."""
