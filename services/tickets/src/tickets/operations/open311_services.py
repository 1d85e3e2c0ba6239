"""Jurisdictions and services of Open311: districts and streets, and the categories that a district has made public."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from linli import units
from linli.models import KnownUnit
from tickets.models.categories import Category, Visibility
from tickets.models.open311 import ArgumentInvalid, ArgumentMissing, ArgumentUnknown
from tickets.operations.rules import rules_of
from tickets.schemas.open311 import Attribute, Service, ServiceDefinition, Value

_LONG: Final = 250
"""Letters of an answer that is a text rather than a line."""


def jurisdiction(text: str | None) -> int:
    """Read a jurisdiction: the code of a district or street.

    Raises:
        ArgumentMissing: 400.
        ArgumentUnknown: 404.
    """
    if not text:
        raise ArgumentMissing(name="jurisdiction_id")
    try:
        unit = units.parse(text)
    except ValueError:
        unit = units.PLATFORM
    if units.level(unit) not in {units.Level.DISTRICT, units.Level.STREET}:
        raise ArgumentUnknown(name="jurisdiction_id")
    return unit


async def require_jurisdiction(session: AsyncSession, unit: int) -> None:
    """Refuse a jurisdiction that is none.

    Raises:
        ArgumentUnknown: 404.
    """
    known = exists().where(KnownUnit.district == units.district(unit), KnownUnit.unit == unit, KnownUnit.active)
    if not await session.scalar(select(known)):
        raise ArgumentUnknown(name="jurisdiction_id")


async def public_categories(session: AsyncSession, unit: int) -> dict[str, Category]:
    """Give the categories that may be reported in, by code."""
    described = (await rules_of(session, units.district(unit))).described
    return {
        code: one for code, one in sorted(described.items()) if one.active and one.visibility == Visibility.PUBLIC.value
    }


async def services(session: AsyncSession, unit: int) -> list[Service]:
    """List what can be reported."""
    described = (await rules_of(session, units.district(unit))).described
    return [
        Service(
            service_code=code,
            service_name=name_of(one),
            description=name_of(one),
            metadata=bool(_properties(one)),
            type="realtime",
            keywords=f"{one.name}, {one.name_en}",
            group=name_of(described.get(one.parent or "")),
        )
        for code, one in (await public_categories(session, unit)).items()
    ]


async def find_service(session: AsyncSession, unit: int, code: str | None) -> Category:
    """Find what can be reported by its code.

    Raises:
        ArgumentMissing: 400.
        ArgumentUnknown: 404.
    """
    if not code:
        raise ArgumentMissing(name="service_code")
    found = (await public_categories(session, unit)).get(code)
    if found is None:
        raise ArgumentUnknown(name="service_code")
    return found


def definition(category: Category) -> ServiceDefinition:
    """Say what is asked for, from the category's form."""
    required = (category.form or {}).get("required", ())
    asked = sorted(_properties(category).items(), key=lambda one: one[0] not in required)
    return ServiceDefinition(
        service_code=category.code,
        attributes=[
            _attribute(code, schema, order, required=code in required) for order, (code, schema) in enumerate(asked, 1)
        ],
    )


def answers(category: Category, given: Mapping[str, Sequence[str]]) -> dict[str, Any] | None:
    """Read what was answered, `attribute[CODE]`, as the category's form has it.

    Raises:
        ArgumentInvalid: 400, for what the form does not ask for, or a number that is none.
    """
    asked = _properties(category)
    found: dict[str, Any] = {}
    for code, values in given.items():
        if code not in asked:
            raise ArgumentInvalid(name=f"attribute[{code}]", reason="there is no such attribute (无此属性)")
        found[code] = _read(code, asked[code], values)
    return found if category.form is not None else None


def _properties(category: Category) -> Mapping[str, Any]:
    found = (category.form or {}).get("properties", {})
    return {code: schema for code, schema in found.items() if isinstance(schema, dict)}


def _attribute(code: str, schema: Mapping[str, Any], order: int, *, required: bool) -> Attribute:
    types = _types(schema)
    multiple = "array" in types
    values = [Value(key=key, name=name) for key, (name, _) in _choices(_items(schema) if multiple else schema).items()]
    datatype = "string"
    if values:
        datatype = "multivaluelist" if multiple else "singlevaluelist"
    elif types and types <= {"number", "integer"}:
        datatype = "number"
    elif schema.get("format") in {"date", "date-time"}:
        datatype = "datetime"
    elif schema.get("maxLength", 0) > _LONG:
        datatype = "text"
    title, description = str(schema.get("title", code)), str(schema.get("description", ""))
    facts: dict[str, Any] = {"values": values} if values else {}
    return Attribute(
        variable=True,
        code=code,
        datatype=datatype,
        required=required,
        datatype_description=None,
        order=order,
        description=f"{title}: {description}" if description else title,
        **facts,
    )


def _types(schema: Mapping[str, Any]) -> set[str]:
    """Give of which kinds an answer may be; that it may be null says nothing, as one that is empty is not there."""
    said = schema.get("type", ())
    return {*([said] if isinstance(said, str) else said)} - {"null"}


def _items(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    items = schema.get("items")
    return items if isinstance(items, dict) else {}


def _choices(schema: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Give the answers to choose from by their keys, each with its name and what the form has for it."""
    if _types(schema) == {"boolean"}:
        return {"true": ("是 Yes", True), "false": ("否 No", False)}
    named = [one for one in schema.get("oneOf", ()) if isinstance(one, dict) and "const" in one]
    values = [(one["const"], one.get("title")) for one in named] or [(one, None) for one in schema.get("enum", ())]
    return {key: (title or key, value) for value, title in values if value is not None for key in [_key(value)]}


def _key(value: Any) -> str:  # noqa: ANN401 whatever a form says
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_READ_AS: Final[dict[str, Callable[[str], Any]]] = {
    "integer": int,
    "number": float,
    "boolean": lambda value: {"true": True, "false": False}[value.lower()],
}


def _read(code: str, schema: Mapping[str, Any], values: Sequence[str]) -> Any:  # noqa: ANN401 as the form has it
    types = _types(schema)
    if "array" in types:
        return [_read(code, _items(schema), [value]) for value in values]
    value, choices = values[-1], _choices(schema)
    if value in choices:
        return choices[value][1]
    readers = [read for kind, read in _READ_AS.items() if kind in types]
    if "string" in types or not readers:
        return value
    for read in readers:
        with suppress(ValueError, KeyError):
            return read(value)
    raise ArgumentInvalid(name=f"attribute[{code}]", reason="of another kind (类型不符)")


def name_of(category: Category | None) -> str:
    """Name a category in both languages."""
    return f"{category.name} {category.name_en}".strip() if category else ""
