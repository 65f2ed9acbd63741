"""The Python in the documents runs, against a whole system. `npm run test:python` starts one."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent.parent
URL = os.environ.get("CLOUD_CONNECTOR_URL", "")
DEVICE = os.environ.get("DEVICE_ID", "")


def blocks_of(path: str, heading: str) -> str:
    """All blocks below a heading, one after the other: a later one may use what an earlier one has imported."""
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    code: list[str] = []
    fence = ""
    for line in lines[lines.index(heading) + 1 :]:
        if line.startswith("```"):
            fence = "" if fence else line
        elif fence == "```python":
            code.append(line)
        elif not fence and re.match(r"#+ ", line) and line.index(" ") <= heading.index(" "):
            break
    assert code != []
    return "\n".join(code)


@pytest.mark.skipif(URL == "", reason="needs a system")
@pytest.mark.parametrize(
    ("path", "heading"),
    [("clients/python/README.md", "# Cloud Connector for Python"), ("docs/clients.md", "## The Python client")],
)
def test_the_examples_of_a_document_run(path: str, heading: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = blocks_of(path, heading)
    assert "http://127.0.0.1:3000" in code
    assert "my-host" in code
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code.replace("http://127.0.0.1:3000", URL).replace("my-host", DEVICE), path, "exec"), names)
    assert "{'pong': {'job': 7}}" in capsys.readouterr().out
