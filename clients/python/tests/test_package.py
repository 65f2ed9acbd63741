"""The package that is built holds what it must: it is installed into a new environment, and used from there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

HERE = Path(__file__).parent.parent
ROOT = HERE.parent.parent
# The packages that ours needs are those of this environment; ours comes from the wheel alone.
USE = """
import importlib.metadata, importlib.util, json, pathlib
import cloud_connector_client as package
folder = pathlib.Path(package.__file__).parent
distribution = importlib.metadata.distribution("cloud-connector-client")
with package.CloudConnector("http://127.0.0.1:2") as connector:
    try:
        connector.whoami()
    except package.UnreachableError:
        print(json.dumps({
            "prefix": str(folder),
            "typed": (folder / "py.typed").exists(),
            "version": distribution.version,
            "requires": distribution.requires,
            "license": distribution.metadata["License-Expression"],
            "python": distribution.metadata["Requires-Python"],
        }))
"""


def run(*command: str | Path) -> str:
    return subprocess.run([str(part) for part in command], cwd=HERE, check=True, capture_output=True, text=True).stdout


def test_the_package_is_built_installed_and_used(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path)
    (wheel,) = tmp_path.glob("cloud_connector_client-*-py3-none-any.whl")
    (sdist,) = tmp_path.glob("cloud_connector_client-*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "pyproject.toml", "src/cloud_connector_client/py.typed"} <= names
    assert [name for name in names if name.startswith(("tests", "templates"))] == []

    fresh = tmp_path / "fresh"
    run(sys.executable, "-m", "venv", "--without-pip", fresh)
    python = fresh / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # This environment has no pip; the Python that it was made with has.
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    install = ("install", "--quiet", "--no-deps", "--no-index", "--no-compile")
    run(base, "-m", "pip", "--python", python, *install, wheel)
    (site / "needed.pth").write_text(sysconfig.get_path("purelib"))
    used = json.loads(run(python, "-c", USE))
    assert used["prefix"] == str(site / "cloud_connector_client")
    assert used["typed"] is True
    assert used["version"] == json.loads((ROOT / "package.json").read_text())["version"]
    assert sorted(re.split(r"[<>=]", one)[0] for one in used["requires"]) == ["httpx", "pydantic"]
    assert (used["license"], used["python"]) == ("Apache-2.0", ">=3.10")


def test_the_licence_is_that_of_the_whole() -> None:
    assert (HERE / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
