"""
Asks every host that is online, and one that may be away.

    python ask.py [CLIENT_ID KEY]

CLIENT_ID is the host that may be away, KEY a name of your choice for what is sent to it.

CLOUD_CONNECTOR_URL is the gateway, CLOUD_CONNECTOR_TOKEN a key with the scopes connections:read, messages:read and messages:write.
"""

import json
import os
import sys
from datetime import timedelta

from cloud_connector_client import CallError, CloudConnector, ProblemError, UnreachableError


def ask(connector: CloudConnector, client_id: str) -> None:
    """Sends a message, and waits for what the host answers."""
    try:
        answer = connector.call(client_id, "demo:ping", {"hello": client_id}, timeout=10)
        print(client_id, "answered", json.dumps(answer))
    except CallError as error:
        print(client_id, error.status, error.details)


def order(connector: CloudConnector, client_id: str, key: str) -> None:
    """Sends a message that waits for its host for an hour. A second run with the same key sends nothing twice."""
    accepted = connector.send_message(
        client_id,
        "demo:work",
        {"steps": 2},
        ttl=timedelta(hours=1),
        response_timeout=60,
        idempotency_key=key,
    )
    message = connector.read_message(accepted.message_id)
    print(message.message_id, message.status, json.dumps(message.answer and message.answer.payload))


def main() -> None:
    if len(sys.argv) == 2:
        print("usage: python ask.py [CLIENT_ID KEY]", file=sys.stderr)
        sys.exit(2)
    url = os.environ.get("CLOUD_CONNECTOR_URL", "http://127.0.0.1:3000")
    with CloudConnector(url, token=os.environ.get("CLOUD_CONNECTOR_TOKEN")) as connector:
        for connection in connector.connections(state="online", type="host"):
            print(connection.client_id, connection.facts and connection.facts.get("fqdn"))
            ask(connector, connection.client_id)
        if len(sys.argv) > 2:
            order(connector, sys.argv[1], sys.argv[2])


if __name__ == "__main__":
    try:
        main()
    except ProblemError as error:
        sys.exit(f"refused: {error} {error.request_id}")
    except UnreachableError as error:
        sys.exit(f"no answer of the service: {error}")
    except ValueError as error:
        # The address or the token cannot be used.
        sys.exit(str(error))
