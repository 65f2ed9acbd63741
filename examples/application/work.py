"""
Shows progress, an answer that is an error, and an answer that comes late.

    python work.py [CLIENT_ID [MESSAGE_ID]]

With MESSAGE_ID it prints the answer to that message.

CLOUD_CONNECTOR_URL is the gateway, CLOUD_CONNECTOR_TOKEN a key with the scopes messages:read, messages:write and events:read.
"""

import os
import sys

from cloud_connector_client import CallError, CloudConnector, ProblemError, UnreachableError


def work(connector: CloudConnector, client_id: str) -> None:
    payload = {"steps": 3}
    print(connector.call(client_id, "demo:work", payload, on_progress=lambda progress: print(progress.percent, "%")))

    for directive, timeout in (("demo:dance", 10), ("demo:work", 1.5)):
        try:
            connector.call(client_id, directive, payload, timeout=timeout)
        except CallError as error:
            print(error.status, error.details, error.message.message_id)


def main() -> None:
    url = os.environ.get("CLOUD_CONNECTOR_URL", "http://127.0.0.1:3000")
    with CloudConnector(url, token=os.environ.get("CLOUD_CONNECTOR_TOKEN")) as connector:
        if len(sys.argv) > 2:
            print(connector.read_message(sys.argv[2]).answer)
        else:
            work(connector, sys.argv[1] if len(sys.argv) > 1 else "device-0001")


if __name__ == "__main__":
    try:
        main()
    except ProblemError as error:
        sys.exit(f"refused: {error} {error.request_id}")
    except UnreachableError as error:
        sys.exit(f"no answer of the service: {error}")
    except CallError as error:
        sys.exit(str(error))
    except ValueError as error:
        # The address or the token cannot be used.
        sys.exit(str(error))
