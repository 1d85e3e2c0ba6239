"""What tickets are about (诉求类别): a tree that a district edits, and what each kind of matter is given."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from sqlalchemy import ForeignKeyConstraint, Integer, SmallInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from linli.models import Base, Versioned
from linli.problems import Conflict, Unprocessable
from tickets.calendar import DAY
from tickets.models.forms import Form
from tickets.models.moves import Clock, Level

MOST: Final = 500
"""Categories that a district may have."""
DEPTH: Final = 5
"""Levels that its tree may have."""


class Visibility(StrEnum):
    """Who may see the tickets of a category."""

    PUBLIC = "public"
    """Everybody, without who reported them."""
    DISTRICT = "district"
    """Who works where they are."""
    PRIVATE = "private"
    """The same, but of grid workers and department staff only who they were given to."""


class TooManyCategories(Conflict):
    """A district may have {most} categories; take one of those out of use for something else."""

    title_zh = "类别过多"
    detail_zh = "一个区最多有 {most} 个类别，请改用已停用的类别。"


class NotInTheTree(Unprocessable):
    """The parent {parent} can't be: it must be there, lie at most {depth} levels deep, and not below {code} itself."""

    title_zh = "上级类别有误"
    detail_zh = "上级类别 {parent} 不可用：须已存在、最多 {depth} 级，且不在 {code} 自身之下。"


class Category(Versioned, Base):
    """One kind of matter in a district.

    Attributes:
        unit: the district.
        parent: the kind that it is one of.
        answer_minutes: working minutes until somebody must answer for it; None as its parent's, as with the others.
        level: of the unit that its tickets begin at.
        department: code of the department that they are for.
        form: the JSON Schema of what is asked when one is opened.
        weight: what one counts for when departments are compared.
        active: whether new tickets may be of it.
    """

    __tablename__ = "category"
    __table_args__ = (
        ForeignKeyConstraint(["district", "parent"], ["category.district", "category.code"]),
        ForeignKeyConstraint(["district", "department"], ["department.district", "department.code"]),
    )

    district: Mapped[int] = mapped_column(Integer, primary_key=True)
    unit: Mapped[int]
    code: Mapped[str] = mapped_column(primary_key=True)
    parent: Mapped[str | None]
    name: Mapped[str]
    name_en: Mapped[str]
    answer_minutes: Mapped[int | None] = mapped_column(Integer)
    solve_minutes: Mapped[int | None] = mapped_column(Integer)
    confirm_minutes: Mapped[int | None] = mapped_column(Integer)
    level: Mapped[str]
    department: Mapped[str | None]
    form: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    visibility: Mapped[str]
    weight: Mapped[int] = mapped_column(SmallInteger)
    active: Mapped[bool]


@dataclass(frozen=True)
class Kind:
    """What a ticket of a category is given, with what its parents say; a code that nobody has described has the rest.

    Attributes:
        code: of the category.
        minutes: working minutes of each clock; a level that it is raised to has as long as the first answer.
        weight: what one counts for when departments are compared.
    """

    code: str
    minutes: Mapping[Clock, int]
    level: str = Level.COMMUNITY.value
    department: str | None = None
    form: Mapping[str, Any] | None = None
    visibility: str = Visibility.DISTRICT.value
    weight: int = 1
    active: bool = True

    @cached_property
    def questions(self) -> Form:
        """What checks the answers to its form."""
        return Form(self.form)


_ANSWER: Final = DAY
_SOLVE: Final = 5 * DAY
_CONFIRM: Final = 5 * DAY


def kind(code: str, described: Mapping[str, Category]) -> Kind:
    """Say what a ticket of a category is given."""
    category = described.get(code)
    answer, solve, confirm = (
        _inherited(category, f"{name}_minutes", described) or minutes
        for name, minutes in (("answer", _ANSWER), ("solve", _SOLVE), ("confirm", _CONFIRM))
    )
    minutes = {
        Clock.ANSWER: answer,
        Clock.SOLVE: solve,
        Clock.STREET: answer,
        Clock.DISTRICT: answer,
        Clock.CONFIRM: confirm,
    }
    if category is None:
        return Kind(code, minutes)
    return Kind(
        code,
        minutes,
        level=category.level,
        department=category.department,
        form=category.form,
        visibility=category.visibility,
        weight=category.weight,
        active=category.active,
    )


def _inherited(category: Category | None, name: str, described: Mapping[str, Category]) -> int | None:
    for _ in range(DEPTH):
        if category is None:
            break
        minutes: int | None = getattr(category, name)
        if minutes is not None:
            return minutes
        category = described.get(category.parent) if category.parent else None
    return None


def check_place(code: str, parent: str | None, others: Iterable[Category]) -> None:
    """Refuse a place in the tree that is none.

    Raises:
        NotInTheTree: 422.
    """
    parents = {category.code: category.parent for category in others} | {code: parent}
    for start in parents:
        at, depth = start, 1
        while (above := parents[at]) is not None:
            depth += 1
            if depth > DEPTH or above not in parents:
                raise NotInTheTree(parent=parent, depth=DEPTH, code=code, errors=[_PARENT])
            at = above


_PARENT: Final = {"pointer": "#/parent", "detail": "no place in the tree", "detail_zh": "类别树中无此位置"}
