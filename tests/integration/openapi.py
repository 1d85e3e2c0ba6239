"""Reads OpenAPI documents: what operations there are, and what they take."""

import copy
import re
from typing import Any
from uuid import UUID, uuid4

Document = dict[str, Any]
Operation = dict[str, Any]

STREET = "310104003"
NOBODY = str(UUID(int=7))

# They change nothing and answer with personal data, which must not be kept under a key.
UNKEYED = ("/search", "/reveal")


def operations(document: Document) -> list[tuple[str, str, Operation]]:
    """List the operations: method, path, description. The token endpoint has its own habits, which RFC 6749 sets."""
    return [
        (method.upper(), path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if "/v1/" in path
    ]


def parameters(operation: Operation, where: str) -> dict[str, dict[str, Any]]:
    """Give the parameters that stand in one place, by name."""
    return {found["name"]: found for found in operation.get("parameters", []) if found["in"] == where}


def filled(path: str, operation: Operation, document: Document) -> dict[str, Any]:
    """Make a request that is right but for its ids, which nobody has."""
    found = parameters(operation, "path")
    url = re.sub(r"{(\w+)}", lambda hit: str(example(found[hit[1]]["schema"], document, STREET, NOBODY)), path)
    query = {
        name: str(example(one["schema"], document, STREET, NOBODY))
        for name, one in parameters(operation, "query").items()
        if one.get("required")
    }
    body = body_schema(operation)
    return {"url": url, "params": query} | ({"json": example(body, document, STREET)} if body else {})


def body_schema(operation: Operation) -> dict[str, Any]:
    """Give the schema of an operation's JSON body, empty without one."""
    content = operation.get("requestBody", {}).get("content", {})
    found: dict[str, Any] = content.get("application/json", {}).get("schema", {})
    return found


def example(schema: dict[str, Any], document: Document, unit: str, uuid: str = "") -> Any:  # noqa: ANN401, C901, PLR0911 it is JSON
    """Make a value that a schema takes."""
    if "$ref" in schema:
        return example(document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], document, unit, uuid)
    for either in ("anyOf", "oneOf", "allOf"):
        if either in schema:
            return example(schema[either][0], document, unit, uuid)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if "examples" in schema and not is_unit(schema):
        return copy.deepcopy(schema["examples"][0])
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            return {name: example(properties[name], document, unit, uuid) for name in schema.get("required", [])}
        case "array":
            return [example(schema["items"], document, unit, uuid) for _ in range(schema.get("minItems", 1))]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
    if is_unit(schema):
        return unit
    return {"uuid": uuid or str(uuid4()), "date-time": "2099-01-01T08:00:00+08:00", "date": "1950-01-01"}.get(
        schema.get("format", ""), "x"
    )


def is_unit(schema: dict[str, Any]) -> bool:
    return "(0|[1-9]" in schema.get("pattern", "")
