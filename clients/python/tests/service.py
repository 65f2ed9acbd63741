"""An HTTP server on loopback. Each request gets the next answer of a list; without one, the connection is closed."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

Answer = Callable[["Handler"], None]


@dataclass
class Request:
    method: str
    path: str
    headers: Message
    body: bytes


class Server(ThreadingHTTPServer):
    daemon_threads = True
    service: Service

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that leaves a stream closes the connection.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Service:
    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[Request] = []
        self.stopping = threading.Event()
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.service = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Service:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def lines(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.requests]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def service(self) -> Service:
        assert isinstance(self.server, Server)
        return self.server.service

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""

    def answer(self) -> None:
        service = self.service
        length = int(self.headers.get("content-length", "0"))
        service.requests.append(Request(self.command, self.path, self.headers, self.rfile.read(length)))
        if service.answers:
            service.answers.pop(0)(self)
        else:
            lost(self)

    do_GET = do_POST = do_DELETE = answer

    def write_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()


def raw(status: int, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    def answer(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def reply(body: Any, status: int = 200) -> Answer:
    return raw(status, json.dumps(body).encode(), {"content-type": "application/json"})


def refuse(status: int, kind: str, headers: dict[str, str] | None = None) -> Answer:
    problem = {
        "type": f"urn:cloud-connector:problem:{kind}",
        "title": "No",
        "status": status,
        "detail": "why",
        "instance": "/v1",
        "request_id": "r1",
    }
    return raw(status, json.dumps(problem).encode(), {"content-type": "application/problem+json", **(headers or {})})


def lost(handler: Handler) -> None:
    """Closes the connection without an answer."""
    handler.close_connection = True


def silent(handler: Handler) -> None:
    """Answers nothing until the test is over."""
    handler.service.stopping.wait()
    handler.close_connection = True


def stream(*chunks: bytes, end: Literal["end", "break", "stay"] = "end") -> Answer:
    """An event stream with these chunks, which then ends, breaks or stays open."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream; charset=utf-8")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        handler.wfile.flush()
        for chunk in chunks:
            handler.write_chunk(chunk)
        if end == "end":
            handler.wfile.write(b"0\r\n\r\n")
        elif end == "stay":
            silent(handler)
        handler.close_connection = True

    return answer


AT = "2026-11-30T06:00:00.000Z"


def message(status: str, **more: Any) -> dict[str, Any]:
    return {
        "message_id": "m-1",
        "client_id": "printer",
        "directive": "print",
        "status": status,
        "created_at": AT,
        "expires_at": AT,
        "response_deadline": None,
        "progress": None,
        "answer": None,
        "status_history": [{"status": status, "at": AT, "details": "out of paper" if status == "failed" else None}],
        **more,
    }


ACCEPTED = {
    name: message("queued")[name]
    for name in ("message_id", "client_id", "directive", "status", "created_at", "expires_at")
}


def answered(payload: Any = None, **more: Any) -> dict[str, Any]:
    answer = {"payload": payload, "message_id": "a-1", "received_at": AT, "late": False, **more}
    return message("answered", answer=answer)


def status_event(cursor: str, message_id: str, status: str, event_id: str | None = None) -> bytes:
    return event("message.status", cursor, event_id, message_id=message_id, status=status)


def progress_event(cursor: str, message_id: str, percent: float) -> bytes:
    return event("message.progress", cursor, None, message_id=message_id, percent=percent, details=None)


def event(type_: str, cursor: str, event_id: str | None, **more: Any) -> bytes:
    common = {"event_id": event_id or f"0-{int(cursor, 36)}-0", "at": AT, "shard": 0, "client_id": "printer"}
    return f"id: {cursor}\nevent: {type_}\ndata: {json.dumps({'type': type_, **common, **more})}\n\n".encode()


def connection(client_id: str, **more: Any) -> dict[str, Any]:
    empty = ("disconnected_at", "offline_reason", "last_message_at", "account", "refused_until")
    known = {"client_id": client_id, "type": "host", "state": "online", "facts": {}, "handshake_message_id": "h"}
    return {**known, "connected_at": AT, "shard": 0, "held_messages": 0, **dict.fromkeys(empty), **more}
