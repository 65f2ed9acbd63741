"""A server whose answers the test chooses, since a real gateway seldom fails, and one way to use both clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from drivers import AsyncDriver, Driver, SyncDriver
from service import Service


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def driver(request: pytest.FixtureRequest, service: Service) -> Driver:
    return SyncDriver(service.url) if request.param == "sync" else AsyncDriver(service.url)
