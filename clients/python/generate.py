"""Writes `src/cloud_connector_client/generated` from docs/openapi.json: models, operations and the methods of both clients."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DOCUMENT = HERE.parent.parent / "docs" / "openapi.json"
GENERATED = HERE / "src" / "cloud_connector_client" / "generated"
HEAD = "# Written by `npm run generate` from the OpenAPI document: do not edit.\n"

# Operations that are written by hand: an event stream is more than a request and its answer.
BY_HAND = {"streamEvents": "events"}
# Names of the methods that iterate over all pages of an operation.
PAGES = {
    "listConnections": "connections",
    "listMessages": "messages",
    "searchMessages": "messages_of_all",
    "listDeadLetters": "dead_letters",
}
# Operations whose methods return one member of the answer.
MEMBERS = {"sendMessages": "results"}

# Parameters that each request has: the clients add them.
OPTIONS = {"X-Request-Id"}

Schema = dict[str, Any]


@dataclass(frozen=True)
class Argument:
    name: str
    type: str
    is_required: bool
    place: str
    key: str
    """Name in the request."""
    value: str
    """The expression that is sent."""

    @property
    def declared(self) -> str:
        if self.is_required:
            return f"{self.name}: {self.type}"
        # UNSET is an Any here: a payload may be null.
        default = "UNSET" if self.type == "Any" else "None"
        return f"{self.name}: {self.type if self.type == 'Any' else f'{self.type} | None'} = {default}"


class Generator:
    def __init__(self, document: Schema) -> None:
        self.document = document
        self.schemas: dict[str, Schema] = document["components"]["schemas"]
        self.choices: dict[str, list[str]] = {}
        """Enums of arguments, which callers may also write as texts."""

    def operations(self) -> Iterator[tuple[str, str, Schema]]:
        for url, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield method.upper(), url, operation

    def event_models(self) -> dict[str, str]:
        """The model of each type of event."""
        mapping: dict[str, str] = self.schemas["Event"]["discriminator"]["mapping"]
        return {kind: name_of(ref) for kind, ref in mapping.items()}

    def resolved(self, part: Schema) -> Schema:
        """What a reference names."""
        while "$ref" in part:
            _, *names = part["$ref"].split("/")
            part = self.document
            for name in names:
                part = part[name]
        return part

    def argument(self, place: str, key: str, schema: Schema, *, is_required: bool) -> Argument:
        name = re.sub(r"\W", "_", key).lower()
        value = name
        if key == "Prefer":
            name, type_, value = "wait", "Duration", "wait_preference(wait)"
        elif key == "reconnect_after":
            type_, value = "Duration | datetime | str", f'iso_duration("{name}", {name})'
        elif key.endswith("_seconds"):
            name = key.removesuffix("_seconds")
            type_, value = "Duration", f'whole_seconds("{name}", {name}, {range_of(schema)})'
        elif self.resolved(schema).get("format") == "date-time":
            type_, value = "datetime | str", f"timestamp({name})"
        else:
            type_ = self.type_of(schema)
            if type_ == "int":
                value = f'whole_number("{name}", {name}, {range_of(schema)})'
            if type_.startswith("Iterable"):
                value = f'items_of("{name}", {name}, {self.durations_of(schema)})'
        return Argument(name, type_, is_required, place, key, value)

    def durations_of(self, schema: Schema) -> str:
        """The members of its items that are in seconds, with their ranges."""
        members = self.resolved(schema["items"])["properties"]
        found = [f'"{key}": ({range_of(one)})' for key, one in members.items() if key.endswith("_seconds")]
        return "{" + ", ".join(found) + "}"

    def type_of(self, schema: Schema) -> str:
        if "$ref" in schema:
            name = name_of(schema["$ref"])
            if "enum" in self.schemas[name]:
                self.choices[name] = self.schemas[name]["enum"]
                return f"{name}Value"
            if self.schemas[name].get("type") == "object":
                return f"models.{name} | Mapping[str, Any]"
            schema = self.schemas[name]
        if schema.get("const") == "true":
            return "Literal[True]"
        if schema.get("type") == "array":
            return f"Iterable[{self.type_of(schema['items'])}]"
        return {"string": "str", "integer": "int", "boolean": "bool"}.get(schema.get("type", ""), "Any")

    def arguments(self, operation: Schema) -> list[Argument]:
        parameters = [self.resolved(one) for one in operation.get("parameters", [])]
        found = [
            self.argument(one["in"], one["name"], one["schema"], is_required=one.get("required", False))
            for one in parameters
            if one["name"] not in OPTIONS
        ]
        if "requestBody" in operation:
            body = self.schemas[name_of(operation["requestBody"]["content"]["application/json"]["schema"]["$ref"])]
            found += [
                self.argument("body", key, schema, is_required=key in body.get("required", []))
                for key, schema in body["properties"].items()
            ]
        return sorted(found, key=lambda argument: not argument.is_required)

    def answers(self, operation: Schema) -> dict[int, str | None]:
        return {
            int(status): name_of(response["content"]["application/json"]["schema"]["$ref"])
            if "content" in response
            else None
            for status, response in operation["responses"].items()
            if status.startswith("2")
        }

    def returned(self, operation: Schema) -> str:
        answers = self.answers(operation)
        member = MEMBERS.get(operation["operationId"])
        if member is None:
            return " | ".join("None" if model is None else f"models.{model}" for model in answers.values())
        (model,) = answers.values()
        schema = self.schemas[model or ""]["properties"][member]
        return f"list[models.{name_of(schema['items']['$ref'])}]"

    def function(self, method: str, url: str, operation: Schema) -> str:
        arguments = self.arguments(operation)
        models = {status: model and f"models.{model}" for status, model in self.answers(operation).items()}
        parts = [f'"{method}"', f'"{url}"', "{" + ", ".join(f"{k}: {v}" for k, v in models.items()) + "}"]
        if operation["operationId"] in MEMBERS:
            parts.append(f'member="{MEMBERS[operation["operationId"]]}"')
        for place, keyword in (("path", "path"), ("query", "query"), ("header", "headers")):
            given = [f'"{a.key}": {a.value}' for a in arguments if a.place == place]
            if given:
                parts.append(f"{keyword}={{{', '.join(given)}}}")
        body = [f"{a.key}={a.value}" for a in arguments if a.place == "body"]
        if body:
            parts.append(f"body=members({', '.join(body)})")
        return (
            f"def {snake(operation['operationId'])}({signature(arguments)}) -> Operation[{self.returned(operation)}]:\n"
            f'    """{operation["summary"]}."""\n'
            f"    return operation_of({', '.join(parts)})\n"
        )

    def method(self, operation: Schema, *, is_async: bool) -> str:
        arguments = self.arguments(operation)
        name = snake(operation["operationId"])
        extra = ["timeout: Duration | None = None", "request_id: str | None = None"]
        described = operation["summary"] + "."
        if "description" in operation:
            described += "\n\n        " + operation["description"]
        call = f"self._send(operations.{name}({passed(arguments)}), timeout, request_id)"
        return (
            f"    {'async ' if is_async else ''}def {name}(self, {signature(arguments, extra)})"
            f" -> {self.returned(operation)}:\n"
            f'        """{described}"""\n'
            f"        return {'await ' if is_async else ''}{call}\n"
        )

    def pages(self, operation: Schema, *, is_async: bool) -> str:
        arguments = [a for a in self.arguments(operation) if a.name != "cursor"]
        name = snake(operation["operationId"])
        (page,) = self.answers(operation).values()
        item = f"models.{name_of(self.schemas[page or '']['properties']['data']['items']['$ref'])}"
        iterator, await_ = ("AsyncIterator", "await ") if is_async else ("Iterator", "")
        # An async generator has no `yield from`.
        each = "            for item in page.data:\n                yield item\n"
        if not is_async:
            each = "            yield from page.data\n"
        return (
            f"    {'async ' if is_async else ''}def {PAGES[operation['operationId']]}"
            f"(self, {signature(arguments)}) -> {iterator}[{item}]:\n"
            f'        """Iterates over all pages of `{name}`. `limit` is the size of a page."""\n'
            "        cursor: str | None = None\n"
            "        while True:\n"
            f"            page = {await_}self.{name}({passed(arguments)}, cursor=cursor)\n"
            f"{each}"
            "            cursor = page.next_cursor\n"
            "            if cursor is None:\n"
            "                return\n"
        )

    def operations_file(self) -> str:
        wanted = [entry for entry in self.operations() if entry[2]["operationId"] not in BY_HAND]
        functions = [self.function(*entry) for entry in wanted]
        self.type_of({"$ref": "#/components/schemas/EventFilter"})
        aliases = [
            f"{name}Value: TypeAlias = models.{name} | Literal[{', '.join(json.dumps(one) for one in values)}]"
            for name, values in sorted(self.choices.items())
        ]
        events = self.event_models()
        known = [f"models.{model}" for kind, model in events.items() if kind != "closed"]
        return "\n".join(
            [
                HEAD,
                "from collections.abc import Iterable, Mapping",
                "from datetime import datetime",
                "from typing import Any, Literal, TypeAlias",
                "from .._durations import Duration, iso_duration, timestamp, wait_preference, whole_number, whole_seconds",
                "from .._items import items_of",
                "from .._model import EventModel, UnknownEvent",
                "from .._operation import UNSET, Operation, members, operation_of",
                "from . import models",
                *aliases,
                f"ConnectorEvent: TypeAlias = {' | '.join(known)} | UnknownEvent",
                '"""What `events` yields. `closed` is not among them: after it, the client opens a new connection."""',
                "EVENT_MODELS: Mapping[str, type[EventModel]] = {"
                + ", ".join(f'"{kind}": models.{model}' for kind, model in events.items())
                + "}",
                *functions,
            ]
        )

    def methods_file(self, *, is_async: bool) -> str:
        wanted = [operation for _, _, operation in self.operations() if operation["operationId"] not in BY_HAND]
        prefix = "Async" if is_async else ""
        methods = [self.method(operation, is_async=is_async) for operation in wanted]
        methods += [self.pages(one, is_async=is_async) for one in wanted if one["operationId"] in PAGES]
        return "\n".join(
            [
                HEAD,
                f"from collections.abc import {prefix}Iterator, Iterable, Mapping",
                "from datetime import datetime",
                "from typing import Any, Literal",
                "from .._durations import Duration",
                "from .._operation import UNSET, Operation, T",
                "from . import models, operations",
                f"from .operations import {', '.join(f'{name}Value' for name in sorted(self.choices))}",
                f"class {prefix}Operations:",
                '    """One method for each operation of the API, and one for each list."""',
                f"    {'async ' if is_async else ''}def _send(self, operation: Operation[T], timeout: Duration | None,"
                " request_id: str | None) -> T:",
                "        raise NotImplementedError",
                "",
                *methods,
            ]
        )


def range_of(schema: Schema) -> str:
    return f"{schema['minimum']}, {schema['maximum']}"


def name_of(ref: str) -> str:
    return ref.rpartition("/")[2]


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def signature(arguments: list[Argument], extra: list[str] | None = None) -> str:
    """Required arguments may be passed by place."""
    first = [argument.declared for argument in arguments if argument.is_required]
    named = [argument.declared for argument in arguments if not argument.is_required]
    # A payload is as much a part of a message as its directive.
    by_place = [one for one in named if one.startswith("payload:")]
    by_name = [one for one in named if one not in by_place] + (extra or [])
    return ", ".join([*first, *by_place, *(["*", *by_name] if by_name else [])])


def passed(arguments: list[Argument]) -> str:
    return ", ".join(a.name if a.is_required else f"{a.name}={a.name}" for a in arguments)


def run(module: str, *args: str) -> None:
    subprocess.run([sys.executable, "-m", module, *args], cwd=HERE, check=True)  # noqa: S603


def write(folder: Path) -> None:
    """Writes all generated files into the folder."""
    generator = Generator(json.loads(DOCUMENT.read_text(encoding="utf-8")))
    models = folder / "models.py"
    bases = dict.fromkeys(generator.event_models().values(), "cloud_connector_client._model.EventModel")
    options = ["--input", str(DOCUMENT), "--output", str(models), "--base-class-map", json.dumps(bases)]
    run("datamodel_code_generator", *options)
    _, _, code = models.read_text(encoding="utf-8").partition("\n\n")
    models.write_text(HEAD + "\n" + code, encoding="utf-8")
    (folder / "operations.py").write_text(generator.operations_file(), encoding="utf-8")
    (folder / "methods.py").write_text(generator.methods_file(is_async=False), encoding="utf-8")
    (folder / "async_methods.py").write_text(generator.methods_file(is_async=True), encoding="utf-8")
    (folder / "__init__.py").write_text("", encoding="utf-8")
    names = [str(path) for path in sorted(folder.glob("*.py"))]
    config = ["--config", str(HERE / "pyproject.toml")]
    run("ruff", "check", *config, "--quiet", "--select", "I,F401", "--fix", *names)
    run("ruff", "format", *config, "--quiet", *names)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        for path in Path(folder).glob("*.py"):
            (GENERATED / path.name).write_bytes(path.read_bytes())


if __name__ == "__main__":
    main()
