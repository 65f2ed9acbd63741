"""Client for the REST API of Cloud Connector, sync and async."""

from ._async_client import AsyncCloudConnector
from ._durations import Duration
from ._errors import CallError, CloudConnectorError, ProblemError, UnreachableError
from ._event_stream import EventPosition
from ._message_end import has_ended, is_final
from ._model import UnknownEvent
from ._sync_client import CloudConnector
from .generated import models
from .generated.operations import ConnectorEvent

__all__ = [
    "AsyncCloudConnector",
    "CallError",
    "CloudConnector",
    "CloudConnectorError",
    "ConnectorEvent",
    "Duration",
    "EventPosition",
    "ProblemError",
    "UnknownEvent",
    "UnreachableError",
    "has_ended",
    "is_final",
    "models",
]
