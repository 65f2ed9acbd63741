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


def blocks_of(path: str) -> str:
    """All blocks of a document, one after the other: a later one may use what an earlier one has imported."""
    blocks: list[str] = re.findall(r"^```python\n(.*?)^```$", (ROOT / path).read_text(encoding="utf-8"), re.M | re.S)
    assert blocks != []
    return "\n".join(blocks)


@pytest.mark.skipif(URL == "", reason="needs a system")
@pytest.mark.parametrize("path", ["clients/python/README.md", "docs/clients.md"])
def test_the_examples_of_a_document_run(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = blocks_of(path)
    assert "http://127.0.0.1:3000" in code
    assert "my-host" in code
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code.replace("http://127.0.0.1:3000", URL).replace("my-host", DEVICE), path, "exec"), names)
    assert "{'pong': {'job': 7}}" in capsys.readouterr().out
