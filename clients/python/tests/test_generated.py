"""The generated files are those of docs/openapi.json, and the clients have a method for each operation."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

import generate
from cloud_connector_client import AsyncCloudConnector, CloudConnector, models
from cloud_connector_client._model import Model, OpenEnum


def test_generated_files_are_those_of_the_document(tmp_path: Path) -> None:
    generate.write(tmp_path)
    written = {path.name: path.read_text() for path in tmp_path.glob("*.py")}
    committed = {path.name: path.read_text() for path in generate.GENERATED.glob("*.py")}
    different = [name for name in sorted(written | committed) if written.get(name) != committed.get(name)]
    assert different == [], "run `npm run generate`"


@pytest.mark.parametrize("client", [CloudConnector, AsyncCloudConnector])
def test_a_client_has_a_method_for_each_operation(client: type) -> None:
    document = json.loads(generate.DOCUMENT.read_text())
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) > 10
    names = [generate.BY_HAND.get(one) or generate.snake(one) for one in ids]
    assert [name for name in names if not callable(getattr(client, name, None))] == []


def test_no_model_refuses_what_a_newer_service_may_say() -> None:
    kinds = [kind for kind in vars(models).values() if isinstance(kind, type)]
    requests = {"BatchMessage", "ForceDisconnect", "MessageBatch", "SendMessage"}
    answers = [kind for kind in kinds if issubclass(kind, Model) and kind.__name__ not in requests]
    assert [kind.__name__ for kind in answers if kind.model_config.get("extra") != "allow"] == []
    assert [kind.__name__ for kind in kinds if issubclass(kind, Enum) and not issubclass(kind, OpenEnum)] == []
    # A text that may have one value today may have two tomorrow; only the type of an event says which model it is.
    closed = [
        f"{kind.__name__}.{name}"
        for kind in answers
        for name, field in kind.model_fields.items()
        if name != "type" and any(isinstance(one, str) for one in literals(field.annotation))
    ]
    assert closed == []


def literals(annotation: object) -> list[object]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [value for inner in get_args(annotation) for value in literals(inner)]
