"""What an application does with the client that openapi-python-client has generated into `api`. It prints a report as JSON."""

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Protocol, Self

import httpx
from api import models
from api.api.connections import get_connection, list_connections
from api.api.messages import read_message, send_message
from api.client import AuthenticatedClient
from api.types import UNSET


class Event(Protocol):
    """A generated event."""

    @property
    def type_(self) -> str: ...

    @classmethod
    def from_dict(cls, src_dict: dict[str, Any]) -> Self: ...


url, client_id, document = sys.argv[1:]
client = AuthenticatedClient(
    base_url=url,
    token=os.environ["CLOUD_CONNECTOR_TOKEN"],
    timeout=httpx.Timeout(40),
    raise_on_unexpected_status=True,
)
EVENTS: list[type[Event]] = [getattr(models, name) for name in models.__all__ if name.endswith("Event")]


def decoded(event: dict[str, Any]) -> Event:
    """Each model refuses an event of another type, so this finds the one of its type, as the generated union does."""
    for model in EVENTS:
        try:
            return model.from_dict(event)
        except (KeyError, TypeError, ValueError):
            continue
    raise ValueError(f"no model fits {event}")


def all_connections() -> list[str]:
    ids: list[str] = []
    cursor: str | None = None
    while True:
        page = list_connections.sync(
            client=client, state=models.ConnectionState.ONLINE, limit=1, cursor=UNSET if cursor is None else cursor
        )
        assert isinstance(page, models.ConnectionPage), page
        ids += [connection.client_id for connection in page.data]
        cursor = page.next_cursor
        if cursor is None:
            return sorted(ids)


def read_nobody() -> str:
    """The kind of the problem."""
    problem = get_connection.sync("nobody", client=client)
    assert isinstance(problem, models.Problem), problem
    return problem.type_


def call() -> Any:
    """Sends a message, and waits for its answer within the same request."""
    body = models.SendMessage(directive="demo:ping", payload={"job": 7}, response_timeout_seconds=30)
    message = send_message.sync(client_id, client=client, body=body, prefer="wait=30")
    assert isinstance(message, models.Message) and message.answer is not None, message
    return message.answer.payload


def events(since: datetime) -> Iterator[Event]:
    params = {"types": "message.status,message.progress", "client_id": client_id, "since": since.isoformat()}
    with client.get_httpx_client().stream("GET", "/v1/events", params=params) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            if line.startswith("data:"):
                yield decoded(json.loads(line.removeprefix("data:")))


def follow(since: datetime) -> dict[str, Any]:
    """Follows the events since then. As soon as it gets the answer of the first message, it sends another."""
    seen: list[tuple[str, str | float]] = []
    second: models.AcceptedMessage | None = None
    for event in events(since):
        if isinstance(event, models.MessageProgressEvent):
            if second is not None and event.message_id == second.message_id and isinstance(event.percent, int | float):
                seen.append((event.type_, event.percent))
            continue
        if not isinstance(event, models.MessageStatusEvent):
            continue
        is_second = second is not None and event.message_id == second.message_id
        if is_second:
            seen.append((event.type_, event.status.value))
        if event.status is not models.MessageStatus.ANSWERED:
            continue
        if is_second:
            break
        body = models.SendMessage(directive="demo:work", payload={"steps": 2})
        accepted = send_message.sync(client_id, client=client, body=body)
        assert isinstance(accepted, models.AcceptedMessage), accepted
        second = accepted
    assert second is not None, "the stream has ended before the first message was answered"
    message = read_message.sync(second.message_id, client=client)
    assert isinstance(message, models.Message) and message.answer is not None, message
    return {"events": seen, "answer": message.answer.payload}


def decoded_examples() -> dict[str, str]:
    """The model of each event that the document shows."""
    with open(document, encoding="utf-8") as file:
        operation = json.load(file)["paths"]["/v1/events"]["get"]
    examples = operation["responses"]["200"]["content"]["text/event-stream"]["examples"].values()
    shown = [decoded(example["value"]) for example in examples]
    return {event.type_: type(event).__name__ for event in shown}


start = datetime.now(UTC)
report = {
    "connections": all_connections(),
    "problem": read_nobody(),
    "called": call(),
    "followed": follow(start),
    "decoded": decoded_examples(),
}
print(json.dumps(report))
