"""Base classes of what goes over HTTP."""

import re
from datetime import date, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

_EXACT = 2**53
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_WRITTEN_OUT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d.*")


class In(BaseModel):
    """A request body: unknown fields are refused, so that a misspelt one is not lost in silence."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_exact(cls, body: Any) -> Any:  # noqa: ANN401 whatever came
        """Refuse numbers that JSON may have rounded: a unit sent as one could be read as another."""
        for name, value in body.items() if isinstance(body, dict) else ():
            if isinstance(value, int) and abs(value) > _EXACT:
                raise ValueError(f"{name!r}: JSON may round it; send a unit as text (数值过大，单元代码请用文本)")
        return body


class Out(BaseModel):
    """An answer, read from a row's attributes."""

    model_config = ConfigDict(from_attributes=True)


T = TypeVar("T")


class Paged(Out, Generic[T]):
    """One page of a list; `next` is the cursor of the following page, null at the end."""

    items: list[T]
    next: str | None


def _written_out(value: object) -> object:
    """Refuse a bare number, which could count seconds, milliseconds or days."""
    if isinstance(value, datetime) or (isinstance(value, str) and _WRITTEN_OUT.fullmatch(value.strip())):
        return value
    raise ValueError("write a time out, with its zone: 2026-01-31T08:00:00+08:00 (时间应写明日期、时刻和时区)")


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]
"""A moment as RFC 3339 writes it."""


def _day(value: object) -> object:
    """Refuse a bare number, which could count days or seconds."""
    if isinstance(value, date) or (isinstance(value, str) and _DAY.fullmatch(value)):
        return value
    raise ValueError("write a day out: 2026-01-31 (日期应写作 2026-01-31)")


Day = Annotated[date, BeforeValidator(_day)]
"""A day as RFC 3339 writes it."""
Line = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$"),
    Field(examples=["路灯不亮"]),
]
"""A line of text: a name, a title."""
Text = Annotated[
    str,
    StringConstraints(min_length=1, max_length=4000, pattern=r"^[^\x00]*$"),
    Field(examples=["小区北门路灯三天不亮"]),
]
"""A longer text."""
