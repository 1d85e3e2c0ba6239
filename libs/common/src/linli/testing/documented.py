"""Whether a service answers as its OpenAPI document says: every answer that a test gets is held to it."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx
from fastapi import FastAPI
from jsonschema import Draft202012Validator

_JSON: Final = re.compile(r"application/([\w.-]+\+)?json")
_PARAMETER: Final = re.compile(r"\\{[^}]+\\}")
_documents: dict[tuple[str, int], "_Document"] = {}


def held_to_document(app: FastAPI) -> Callable[[httpx.Response], Awaitable[None]]:
    """Give a hook of a client that raises AssertionError for an answer which the app's document does not describe."""

    async def check(response: httpx.Response) -> None:
        which = app.title, len(app.routes)  # some tests have a service of their own by the name of another
        document = _documents.get(which) or _documents.setdefault(which, _Document(app.openapi()))
        kind = response.headers.get("content-type", "").partition(";")[0]
        replayed = "idempotency-replayed" in response.headers  # what an older version has said
        if _JSON.fullmatch(kind) and not replayed:
            await response.aread()
            document.check(response, kind)

    return check


class _Document:
    def __init__(self, document: dict[str, Any]) -> None:
        self._components = document.get("components", {})
        self._paths = [
            (re.compile(_PARAMETER.sub("[^/]+", re.escape(path))), operations)
            for path, operations in sorted(document["paths"].items(), key=lambda one: one[0].count("{"))
        ]
        self._validators: dict[str, Draft202012Validator] = {}

    def check(self, response: httpx.Response, kind: str) -> None:
        method, path, status = response.request.method.lower(), response.request.url.path, response.status_code
        operations: dict[str, Any] = next((found for pattern, found in self._paths if pattern.fullmatch(path)), {})
        if method not in operations or not response.content:
            return
        answers = operations[method]["responses"]
        content = (answers.get(str(status)) or answers.get("default", {})).get("content", {})
        what = f"{method} {path}, {status} {kind}"
        assert kind in content, f"{what}: not documented"
        for error in self._validator(content[kind].get("schema", {})).iter_errors(response.json()):
            raise AssertionError(f"{what}: {error.json_path}: {error.message}")

    def _validator(self, schema: dict[str, Any]) -> Draft202012Validator:
        key = json.dumps(schema)
        if key not in self._validators:
            self._validators[key] = Draft202012Validator({**schema, "components": self._components})
        return self._validators[key]
