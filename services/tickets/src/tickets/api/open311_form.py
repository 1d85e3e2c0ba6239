"""Reads what Open311's clients send: everything is text, and what is empty is as if it was not there."""

import re
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData

from linli.schemas import Moment
from tickets.models.open311 import ArgumentInvalid, ArgumentMissing
from tickets.operations.open311 import MOST
from tickets.schemas.open311 import Status

DESCRIPTION: Final = 4000
_LINE: Final = 500
_ATTRIBUTE: Final = re.compile(r"attribute\[([^\[\]]{1,100})\](?:\[\d*\])?")
_URL: Final = re.compile(r"https?://[^\s<>\"]{1,480}")


def field(given: FormData, name: str, most: int = _LINE) -> str:
    """Give a field; one that is empty is as if it was not there."""
    value = given.get(name)
    text = value.strip() if isinstance(value, str) else ""
    if len(text) > most or "\0" in text:
        raise ArgumentInvalid(name=name, reason=f"at most {most} characters, none of them zero (最多 {most} 个字符)")
    return text


def needed(given: FormData, name: str, most: int = _LINE) -> str:
    """Give a field that must be there.

    Raises:
        ArgumentMissing: 400.
    """
    found = field(given, name, most)
    if not found:
        raise ArgumentMissing(name=name)
    return found


def point(given: FormData) -> tuple[float | None, float | None]:
    """Give the latitude and longitude, or neither.

    Raises:
        ArgumentInvalid: 400, for one without the other.
    """
    latitude, longitude = field(given, "lat"), field(given, "long")
    if not latitude and not longitude:
        return None, None
    try:
        found = float(latitude), float(longitude)
    except ValueError:
        found = (91.0, 181.0)
    if not (-90 <= found[0] <= 90 and -180 <= found[1] <= 180):  # noqa: PLR2004 the globe
        raise ArgumentInvalid(name="lat, long", reason="both are needed, in degrees of WGS 84 (须同时提供有效的经纬度)")
    return found


def attributes(given: FormData) -> dict[str, list[str]]:
    """Give what was answered, `attribute[CODE]` or `attribute[CODE][]`, by code."""
    found: dict[str, list[str]] = {}
    for name, value in given.multi_items():
        hit = _ATTRIBUTE.fullmatch(name)
        if hit and isinstance(value, str) and value:
            if "\0" in value:
                raise ArgumentInvalid(name=name, reason="a zero byte (含零字节)")
            found.setdefault(hit[1], []).append(value)
    return found


def address(given: FormData, name: str) -> str:
    """Give an address of the web."""
    found = field(given, name)
    if found and not _URL.fullmatch(found):
        raise ArgumentInvalid(name=name, reason="no address of the web (不是网址)")
    return found


def several(text: str | None) -> list[str]:
    """Read a comma list."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def statuses(text: str | None) -> list[Status]:
    """Read a comma list of `open` and `closed`.

    Raises:
        ArgumentInvalid: 400.
    """
    found: list[Status] = []
    for one in several(text) or ([text] if text else []):
        if one not in {"open", "closed"}:
            raise ArgumentInvalid(name="status", reason="open or closed (应为 open 或 closed)")
        found.append("open" if one == "open" else "closed")
    return found


def ids(text: str, name: str) -> list[UUID]:
    """Read ids; what can be none of ours was not found."""
    found = several(text)
    if len(found) > MOST:
        raise ArgumentInvalid(name=name, reason=f"at most {MOST} (最多 {MOST} 个)")
    ids: list[UUID] = []
    for one in found:
        try:
            ids.append(UUID(one))
        except ValueError:
            continue
    return ids


_MOMENT: Final[TypeAdapter[datetime]] = TypeAdapter(Moment)


def moment(name: str, text: str | None) -> datetime | None:
    """Read a time with its zone.

    Raises:
        ArgumentInvalid: 400.
    """
    if not text:
        return None
    try:
        return _MOMENT.validate_python(text)
    except ValidationError:
        reason = "write it so: 2010-01-01T00:00:00Z (应为带时区的日期时间)"
        raise ArgumentInvalid(name=name, reason=reason) from None
