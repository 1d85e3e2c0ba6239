"""Releases contracts: writes their JSON schemas and samples, which from then on may only grow.

`python -m linli.events.release` writes what is new and refuses what would break a consumer.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from linli.events import Event, catalogue

RELEASED: Final = Path(__file__).with_name("released")
_WORDS: Final = ("title", "description", "examples", "default")
"""What a schema says to people; it may change."""


def released() -> dict[str, dict[str, Any]]:
    """Read what was released, by type."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RELEASED.glob("*.json"))}


def breaks(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Tell what a changed schema would break: everything but new optional fields."""
    for name, before in old["properties"].items():
        after = new["properties"].get(name)
        if after is None:
            yield f"{name} was taken away"
        elif _meaning(before) != _meaning(after):
            yield f"{name} means something else"
    for name in set(old.get("required", ())) ^ set(new.get("required", ())):
        yield f"{name} is {'no longer' if name in old.get('required', ()) else 'now'} required"


def _meaning(schema: Any) -> Any:  # noqa: ANN401 any JSON
    if isinstance(schema, dict):
        return {name: _meaning(value) for name, value in schema.items() if name not in _WORDS}
    return [_meaning(value) for value in schema] if isinstance(schema, list) else schema


def contract_of(event: type[Event]) -> dict[str, Any]:
    """Describe a contract: subject, schema and a sample."""
    schema = event.model_json_schema()
    sample = {name: _example(name, field) for name, field in schema["properties"].items()}
    return {
        "type": event.type,
        "subject": event.subject_for("{district}", "{aggregate}"),
        "schema": schema,
        "sample": event.model_validate(sample).model_dump(mode="json"),
    }


def _example(name: str, field: dict[str, Any]) -> object:
    field = field.get("anyOf", [field])[0]
    if "items" in field:
        return [_example(name, field["items"])]
    examples: dict[object, object] = {
        "uuid": str(uuid5(NAMESPACE_URL, name)),
        "date-time": "2026-01-05T09:30:00Z",
        "integer": field.get("maximum", 8),
        "boolean": True,
        "string": "天平路街道" if name == "name" else name,
    }
    return field.get("examples", [examples[field.get("format", field["type"])]])[0]


def main() -> int:
    """Write every contract that is new or has grown; gives the exit code."""
    before = released()
    now = {event.type: contract_of(event) for event in catalogue()}
    broken = [
        f"{type_}: {problem}"
        for type_, old in before.items()
        for problem in (breaks(old["schema"], now[type_]["schema"]) if type_ in now else ["it was taken away"])
    ]
    for problem in broken:
        print(f"{problem}; publish a new version beside it instead", file=sys.stderr)  # noqa: T201 a command
    if broken:
        return 1
    RELEASED.mkdir(exist_ok=True)
    for type_, contract in now.items():
        if before.get(type_) != contract:
            text = json.dumps(contract, ensure_ascii=False, indent=2) + "\n"
            (RELEASED / f"{type_}.json").write_text(text, encoding="utf-8")
            print(f"released {type_}")  # noqa: T201 a command
    return 0


if __name__ == "__main__":
    sys.exit(main())
