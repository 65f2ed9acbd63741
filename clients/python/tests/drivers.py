"""Uses either client in the same way, so that each test is about both."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import aclosing, closing
from itertools import islice
from typing import Any, Protocol

from cloud_connector_client import AsyncCloudConnector, CloudConnector

# Made once: it reads all certificates.
TLS = ssl.create_default_context()


class Driver(Protocol):
    options: dict[str, Any]

    def run(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """The result of a method."""

    def take(self, count: int, method: str, **kwargs: Any) -> list[Any]:
        """The first items of an iterator."""


class SyncDriver:
    def __init__(self, url: str) -> None:
        self.options: dict[str, Any] = {"base_url": url, "verify": TLS}

    def run(self, method: str, *args: Any, **kwargs: Any) -> Any:
        with CloudConnector(**self.options) as connector:
            return getattr(connector, method)(*args, **kwargs)

    def take(self, count: int, method: str, **kwargs: Any) -> list[Any]:
        with CloudConnector(**self.options) as connector, closing(getattr(connector, method)(**kwargs)) as items:
            return list(islice(items, count))


class AsyncDriver:
    def __init__(self, url: str) -> None:
        self.options: dict[str, Any] = {"base_url": url, "verify": TLS}

    def run(self, method: str, *args: Any, **kwargs: Any) -> Any:
        async def run() -> Any:
            async with AsyncCloudConnector(**self.options) as connector:
                return await getattr(connector, method)(*args, **kwargs)

        return asyncio.run(run())

    def take(self, count: int, method: str, **kwargs: Any) -> list[Any]:
        async def take() -> list[Any]:
            found: list[Any] = []
            async with (
                AsyncCloudConnector(**self.options) as connector,
                aclosing(getattr(connector, method)(**kwargs)) as items,
            ):
                async for item in items:
                    found.append(item)
                    if len(found) == count:
                        break
            return found

        return asyncio.run(take())
