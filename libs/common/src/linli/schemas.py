"""Base classes of what goes over HTTP."""

from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

_EXACT = 2**53


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
