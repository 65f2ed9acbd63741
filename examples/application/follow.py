"""
Follows what happens, and goes on after the last event when it is started again.

    python follow.py [file that keeps the position, position.txt by default]

CLOUD_CONNECTOR_URL is the gateway, CLOUD_CONNECTOR_TOKEN a key with the scopes events:read and messages:read.
"""

import json
import os
import sys
from pathlib import Path

from cloud_connector_client import CloudConnector, ProblemError, UnreachableError, models


def keep(file: Path, position: str) -> None:
    """Keeps the position only after the event has been handled: so none is missed."""
    new = file.with_name(f"{file.name}.new")
    new.write_text(position)
    new.replace(file)


def main() -> None:
    url = os.environ.get("CLOUD_CONNECTOR_URL", "http://127.0.0.1:3000")
    file = Path(sys.argv[1] if len(sys.argv) > 1 else "position.txt")
    last_event_id = file.read_text() if file.exists() else None
    with CloudConnector(url, token=os.environ.get("CLOUD_CONNECTOR_TOKEN")) as connector:
        for event in connector.events(
            types=["connection.online", "connection.offline", "message.status", "client.message"],
            last_event_id=last_event_id,
        ):
            if isinstance(event, models.MessageStatusEvent):
                print(event.client_id, event.message_id, event.status, flush=True)
            elif isinstance(event, models.ClientMessageEvent):
                print(event.client_id, "says", event.directive, json.dumps(event.payload), flush=True)
            elif isinstance(event, models.GapEvent):
                print("events may be missing: read again what you follow", flush=True)
            elif isinstance(event, models.ConnectionOnlineEvent | models.ConnectionOfflineEvent):
                print(event.client_id, event.type, flush=True)
            keep(file, event.id)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except ProblemError as error:
        sys.exit(f"refused: {error} {error.request_id}")
    except UnreachableError as error:
        # The service was away at the start. Once it was there, the client connects again by itself.
        sys.exit(f"no answer of the service: {error}")
    except ValueError as error:
        # The address or the token cannot be used.
        sys.exit(str(error))
