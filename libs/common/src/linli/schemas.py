"""Base classes of what goes over HTTP."""

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints


class In(BaseModel):
    """A request body: unknown fields are refused, so that a misspelt one is not lost in silence."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, frozen=True)


class Out(BaseModel):
    """An answer, read from a row's attributes."""

    model_config = ConfigDict(from_attributes=True)


T = TypeVar("T")


class Paged(Out, Generic[T]):
    """One page of a list; `next` is the cursor of the following page, null at the end."""

    items: list[T]
    next: str | None


Line = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A line of text: a name, a title."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=4000, pattern=r"^[^\x00]*$")]
"""A longer text."""
