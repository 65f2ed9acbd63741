"""The programs of docs/tutorials/application.md do what it says, against a whole system. `npm run test:python` starts one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest

from cloud_connector_client import CloudConnector, models

PROGRAMS = Path(__file__).parent.parent.parent.parent / "examples" / "application"
URL = os.environ.get("CLOUD_CONNECTOR_URL", "")
DEVICE = os.environ.get("DEVICE_ID", "")
ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent / "src")}

pytestmark = pytest.mark.skipif(URL == "", reason="needs a system")


def run(*args: str) -> str:
    return subprocess.run(
        [sys.executable, *args], check=True, capture_output=True, text=True, timeout=60, env=ENV
    ).stdout


def fail(*args: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, timeout=60, cwd=cwd, env=env)


@contextmanager
def following(position: Path) -> Iterator[Iterator[str]]:
    """The lines that follow.py prints."""
    command = [sys.executable, str(PROGRAMS / "follow.py"), str(position)]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENV)
    assert program.stdout is not None
    try:
        yield iter(program.stdout)
    finally:
        program.kill()
        program.wait()
        program.stdout.close()


def ping() -> str:
    with CloudConnector(URL) as connector:
        return connector.send_message(DEVICE, "demo:ping", wait=10).message_id


def test_every_host_that_is_online_is_asked_and_an_order_is_sent_once() -> None:
    first = run(str(PROGRAMS / "ask.py"), DEVICE, "order-1")
    assert f'{DEVICE} answered {{"pong": {{"hello": "{DEVICE}"}}}}\n' in first
    order = re.compile(r"^([0-9a-f-]{36}) (\w+) ", re.MULTILINE)
    sent = order.search(first)
    assert sent is not None, first
    with CloudConnector(URL) as connector:
        connector.wait(sent[1], timeout=20)
    again = order.search(run(str(PROGRAMS / "ask.py"), DEVICE, "order-1"))
    assert again is not None
    assert again.groups() == (sent[1], "answered")


def test_progress_is_shown_an_answer_that_is_an_error_and_one_that_is_late() -> None:
    begin = datetime.now(timezone.utc)
    output = run(str(PROGRAMS / "work.py"), DEVICE)
    assert "100.0 %\n{'steps': 3}\nfailed this device cannot do demo:dance" in output
    # On a slow machine the time of the message is over as well.
    late = re.search(r"^(?:\w+ no answer within 1\.5 s|unanswered .*) ([0-9a-f-]{36})$", output, re.MULTILINE)
    assert late is not None, output
    with CloudConnector(URL) as connector:
        for event in connector.events(types=["message.status"], client_id=DEVICE, since=begin):
            if isinstance(event, models.MessageStatusEvent) and (event.message_id, event.late) == (late[1], True):
                break
    assert "payload={'steps': 3}" in run(str(PROGRAMS / "work.py"), DEVICE, late[1])


@pytest.mark.parametrize("program", ["ask.py", "follow.py"])
def test_a_program_says_in_one_line_that_the_service_is_away(program: str, tmp_path: Path) -> None:
    # Nobody listens there.
    away = {**ENV, "CLOUD_CONNECTOR_URL": "http://127.0.0.1:2"}
    ended = fail(str(PROGRAMS / program), cwd=tmp_path, env=away)
    assert ended.returncode == 1
    assert re.fullmatch(r"no answer of the service: http://127.0.0.1:2 cannot be reached: .*\n", ended.stderr)


@pytest.mark.parametrize("program", ["ask.py", "follow.py"])
@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"CLOUD_CONNECTOR_URL": "localhost:3000"}, '"localhost:3000" is not the address of a gateway, such as .*'),
        ({"CLOUD_CONNECTOR_TOKEN": "a b"}, "a token must be printable ASCII without spaces"),
    ],
)
def test_a_program_says_in_one_line_that_its_address_or_token_is_wrong(
    program: str, settings: dict[str, str], text: str, tmp_path: Path
) -> None:
    ended = fail(str(PROGRAMS / program), cwd=tmp_path, env={**ENV, **settings})
    assert ended.returncode == 1
    assert re.fullmatch(f"{text}\n", ended.stderr)


def test_a_host_without_a_key_prints_how_the_program_is_used(tmp_path: Path) -> None:
    ended = fail(str(PROGRAMS / "ask.py"), DEVICE, cwd=tmp_path, env=ENV)
    assert (ended.returncode, ended.stderr) == (2, "usage: python ask.py [CLIENT_ID KEY]\n")


def test_a_program_that_follows_events_goes_on_after_the_last_one(tmp_path: Path) -> None:
    position = tmp_path / "position.txt"
    with following(position) as lines:
        # The stream is open at an unknown moment, so messages are sent until one of them is seen.
        with subprocess.Popen([sys.executable, "-c", PINGS], env=ENV) as pings:
            next(lines)
            pings.kill()
        missing = ping()
        assert any(missing in line for line in lines)
    missed = ping()
    with following(position) as lines:
        assert any(missed in line and "answered" in line for line in lines)


PINGS = """
import os
from cloud_connector_client import CloudConnector, models
with CloudConnector(os.environ["CLOUD_CONNECTOR_URL"]) as connector:
    while True:
        connector.send_message(os.environ["DEVICE_ID"], "demo:ping", wait=10)
"""
