"""The Python in the documents has correct types, and runs against a whole system. `npm run test:python` starts one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent.parent
ROOT = HERE.parent.parent
EACH = pytest.mark.parametrize(
    ("path", "heading"),
    [("clients/python/README.md", "# Cloud Connector for Python"), ("docs/clients.md", "## The Python client")],
)
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


@EACH
def test_the_examples_of_a_document_have_correct_types(path: str, heading: str, tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(blocks_of(path, heading), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", str(file)]
    result = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout


@pytest.mark.parametrize("options", [[], ["--strict"]])
def test_the_programs_of_the_tutorial_have_correct_types(options: list[str]) -> None:
    programs = sorted(str(path) for path in (ROOT / "examples" / "application").glob("*.py"))
    assert programs != []
    # As a reader runs it: without the settings of this folder.
    command = [sys.executable, "-m", "mypy", "--config-file=", *options, *programs]
    result = subprocess.run(command, cwd=HERE, capture_output=True, text=True, env={**os.environ, "MYPYPATH": "src"})
    assert (result.returncode, result.stderr) == (0, ""), result.stdout


@pytest.mark.skipif(URL == "", reason="needs a system")
@EACH
def test_the_examples_of_a_document_run(path: str, heading: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = blocks_of(path, heading)
    assert "http://127.0.0.1:3000" in code
    assert "my-host" in code or "device-0001" in code
    names: dict[str, Any] = {"__name__": "example"}
    exec(
        compile(
            code.replace("http://127.0.0.1:3000", URL).replace("my-host", DEVICE).replace("device-0001", DEVICE),
            path,
            "exec",
        ),
        names,
    )
    assert "{'pong': {'job': 7}}" in capsys.readouterr().out
