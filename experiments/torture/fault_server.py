"""An OpenAI-style server on 127.0.0.1 that answers wrongly on purpose; no network beyond that.

The model's name in the request picks the fault, unless a function of the request does, so that one
server serves every test. Only the standard library is used.
"""

import contextlib
import datetime
import email.utils
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RETRY_AFTER = {
    "429-seconds": "1",
    "429-huge": "1000000000",
    "429-negative": "-5",
    "429-garbage": "when it suits",
    "retry-after": "0.2",
}
"""The header Retry-After, by fault; "429-date" has a date two seconds from now."""
PROMPT_TOKENS, ANSWER_TOKENS = 10, 5
"""What every answer says that it took."""


def _answer(content: str | None, reason: str = "stop", model: str = "served-model") -> Any:
    message = {"role": "assistant", "content": content}
    return {
        "id": "chatcmpl-fault",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "finish_reason": reason, "message": message}],
        "usage": {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": ANSWER_TOKENS,
            "total_tokens": PROMPT_TOKENS + ANSWER_TOKENS,
        },
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "FaultServer"

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        request = json.loads(self.rfile.read(length))
        with self.server.lock:
            name = self.server.choose(request)
            self.server.calls[name] += 1
            self.server.requests.append(request)
            self.server.keys.append(self.headers.get("Authorization", ""))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._fault(name, request)

    def _send(self, status: int, body: Any, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        length = headers.pop("Content_Length", str(len(data)))
        self.send_header("Content-Length", length)
        for header, value in headers.items():
            self.send_header(header.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def _error(self, status: int, message: str = "", **headers: str) -> None:
        body = {"error": {"message": message or f"fault {status}", "type": "fault", "code": "f"}}
        self._send(status, body, **headers)

    def _fault(self, name: str, request: dict[str, Any]) -> None:
        served = request["model"] if self.server.own_name else "served-model"
        good = _answer(self.server.good, model=served)
        key = self.headers.get("Authorization", "")
        first = self.server.calls[name] == 1
        if name.isdigit():
            self._error(int(name))
        elif name == "429-date":
            later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
            self._error(429, Retry_After=email.utils.format_datetime(later, usegmt=True))
        elif name in RETRY_AFTER and (first or name != "retry-after"):
            self._error(429, Retry_After=RETRY_AFTER[name])
        elif name == "flaky" and self.server.calls[name] <= 2:
            self._error(500)
        elif name == "context":
            said = {
                "message": "maximum context length is 8 tokens",
                "code": "context_length_exceeded",
            }
            self._send(400, {"error": said | {"type": "invalid_request_error"}})
        elif name == "no-schema" and "response_format" in request:
            self._error(400, "response_format is not supported by this model")
        elif name == "echo-key-error":
            self._error(401, f"Incorrect API key provided: {key}", X_Echo=key)
        elif name == "echo-key-answer":
            self._send(200, _answer(f"your key is {key}", model=f"model-{key}"), X_Echo=key)
        elif name == "html":
            self._send(200, b"<html><body>proxy login</body></html>")
        elif name == "empty":
            self._send(200, b"")
        elif name == "half-json":  # whole by the protocol, half of a document
            data = json.dumps(good).encode()
            self._send(200, data[: len(data) // 2])
        elif name == "half-body":  # fewer bytes than were promised
            data = json.dumps(good).encode()
            self._send(200, data[: len(data) // 2], Content_Length=str(len(data)))
            self.close_connection = True
        elif name == "no-choices":
            self._send(200, good | {"choices": []})
        elif name == "null-content":
            self._send(200, _answer(None, model=served))
        elif name == "prose":
            self._send(200, _answer("Sure! Everybody should go to the left.", model=served))
        elif name == "half-answer":
            self._send(200, _answer(self.server.good[: len(self.server.good) // 2], model=served))
        elif name == "ten-megabytes":
            self._send(200, _answer("x" * 10_000_000, model=served))
        elif name == "cut":
            self._send(200, _answer('{"plans": {', "length", model=served))
        elif name == "strange-counts":
            counts = {"prompt_tokens": -(10**9), "completion_tokens": -5, "total_tokens": -(10**9)}
            self._send(200, good | {"usage": counts})
        elif name == "no-usage":
            self._send(200, {key: value for key, value in good.items() if key != "usage"})
        elif name == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
        elif name in ("slow-body", "byte-a-second"):  # every read is quick, the whole is not
            data = json.dumps(good).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            for byte in data:
                pause = 1.0 if name == "byte-a-second" else 10 / len(data)
                if self.server.stopping.wait(pause):
                    break
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
        else:
            self._send(200, good)


class FaultServer(ThreadingHTTPServer):
    """``with FaultServer() as server: ...``; ``calls`` and ``requests`` tell what came in."""

    daemon_threads = True

    def __init__(
        self,
        good: str = '{"ok": true}',
        choose: Callable[[dict[str, Any]], str] | None = None,
        *,
        refusing: bool = False,
        own_name: bool = False,
    ) -> None:
        """Takes a free port.

        Args:
          good: content of a good answer.
          choose: request -> name of the fault; None: the name of the model that is asked.
          refusing: refuse connections until `open`.
          own_name: answer in the name that was asked for, for which a price may be known.
        """
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self.server_bind()
        self.good, self.own_name = good, own_name
        self.choose = choose or (lambda request: str(request["model"]))
        self.calls: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        if not refusing:
            self.open()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    @property
    def api_base(self) -> str:
        """For ``GenerationConfig.api_base``."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is expected here."""

    def open(self) -> None:
        """Takes connections from now on."""
        self.server_activate()

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
