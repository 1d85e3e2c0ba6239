"""What FastAPI can't know of a service and its OpenAPI document should say: how problems are answered, and which."""

from typing import Any, Final

from fastapi import FastAPI

from linli.problems import Problem, catalogue

_TEXT: Final = {"type": "string"}
_SCHEMA: Final = {
    "title": "Problem",
    "type": "object",
    "description": "RFC 9457; programs go by `type`, whose values are listed under `x-problems` and at /problems.",
    "required": ["type", "title", "title_zh", "status", "detail", "detail_zh"],
    "properties": {
        "type": {**_TEXT, "examples": ["urn:linli:problem:not-found"]},
        **dict.fromkeys(("title", "title_zh"), _TEXT),
        "status": {"type": "integer", "examples": [404]},
        **dict.fromkeys(("detail", "detail_zh", "trace_id"), _TEXT),
        "errors": {
            "type": "array",
            "description": "What is wrong, field by field (字段错误)",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {**_TEXT, "description": "JSON pointer into the body", "examples": ["#/unit"]},
                    **dict.fromkeys(("in", "parameter", "detail", "detail_zh"), _TEXT),
                },
            },
        },
    },
}
PROBLEM: Final[dict[int | str, dict[str, Any]]] = {
    "default": {
        "description": "A problem (错误)",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}
"""The answer of every operation that could not do what was asked."""


def list_problems(app: FastAPI, service: str) -> None:
    """Let the app's document list the kinds of problems that the chassis and the service itself answer with."""
    kinds = {kind.type(): kind for kind in catalogue() if kind.__module__.partition(".")[0] in {"linli", service}}
    listed = [_entry(kind) for _, kind in sorted(kinds.items())]

    def document() -> dict[str, Any]:
        made = FastAPI.openapi(app)
        made.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _SCHEMA
        return made | {"x-problems": listed}

    app.openapi = document  # type: ignore[method-assign] # FastAPI's own way to extend it


def _entry(kind: type[Problem]) -> dict[str, Any]:
    return {
        "type": kind.type(),
        "title": kind.title,
        "title_zh": kind.title_zh,
        "status": int(kind.status),
        "detail": kind.template(),
        "detail_zh": kind.detail_zh,
    }
