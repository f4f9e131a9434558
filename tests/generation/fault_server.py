"""An OpenAI-style server on 127.0.0.1 that answers wrongly on purpose; no network beyond that.

The model's name in the request picks the fault, so that one server serves every test.
"""

import contextlib
import json
import socket
import struct
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def _answer(content: str | None, reason: str = "stop") -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {
        "id": "chatcmpl-fault",
        "object": "chat.completion",
        "created": 0,
        "model": "served-model",
        "choices": [{"index": 0, "finish_reason": reason, "message": message}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "FaultServer"

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        request = json.loads(self.rfile.read(length))
        name = request["model"]
        with self.server.lock:
            self.server.calls[name] += 1
            self.server.requests.append(request)
            self.server.keys.append(self.headers.get("Authorization", ""))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._fault(name, request)

    def _send(self, status: int, body: Any, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for header, value in headers.items():
            self.send_header(header.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def _error(self, status: int, message: str = "", **headers: str) -> None:
        body = {"error": {"message": message or f"fault {status}", "type": "fault", "code": "f"}}
        self._send(status, body, **headers)

    def _fault(self, name: str, request: dict[str, Any]) -> None:
        good = _answer('{"ok": true}')
        key = self.headers.get("Authorization", "")
        if name.isdigit():
            self._error(int(name))
        elif name == "retry-after" and self.server.calls[name] == 1:
            self._error(429, Retry_After="0.2")
        elif name == "flaky" and self.server.calls[name] <= 2:
            self._error(500)
        elif name == "context":
            body = {
                "message": "maximum context length is 8 tokens",
                "code": "context_length_exceeded",
            }
            self._send(400, {"error": body | {"type": "invalid_request_error"}})
        elif name == "no-schema" and "response_format" in request:
            self._error(400, "response_format is not supported by this model")
        elif name == "echo-key-error":
            self._error(401, f"Incorrect API key provided: {key}")
        elif name == "echo-key-answer":
            self._send(200, _answer(f"your key is {key}"))
        elif name == "html":
            self._send(200, b"<html><body>proxy login</body></html>")
        elif name == "empty":
            self._send(200, b"")
        elif name == "no-choices":
            self._send(200, good | {"choices": []})
        elif name == "null-content":
            self._send(200, _answer(None))
        elif name == "cut":
            self._send(200, _answer('{"plans": {', "length"))
        elif name == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
        elif name == "slow-body":  # every read is quick, the whole is not
            data = json.dumps(good).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            for byte in data:
                if self.server.stopping.wait(10 / len(data)):
                    break
                self.wfile.write(bytes([byte]))
        else:
            self._send(200, good)


class FaultServer(ThreadingHTTPServer):
    """``with FaultServer() as server: ...``; ``calls`` and ``requests`` tell what came in."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    @property
    def api_base(self) -> str:
        """For ``GenerationConfig.api_base``."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is expected here."""

    def __enter__(self) -> "FaultServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()
        self._thread.join(timeout=5)


def unused_port() -> int:
    """A port that nobody listens on."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
