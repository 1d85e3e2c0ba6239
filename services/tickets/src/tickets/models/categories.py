"""What tickets are about (诉求类别): a tree that a district edits, and what each kind of matter is given."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import islice
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.protocols import Validator
from sqlalchemy import ForeignKeyConstraint, Integer, SmallInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from linli.models import Base, Versioned
from linli.problems import Conflict, Unprocessable
from tickets.calendar import DAY
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
    def validator(self) -> Validator | None:
        """What checks the answers to its form."""
        return Draft202012Validator(self.form) if self.form is not None else None


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


FORM: Final = 16_000
"""Bytes that a form may have, and the answers to it."""
_NESTED: Final = 8
_SHOWN: Final = 20
_REFUSED: Final = {"$ref", "$dynamicRef", "$recursiveRef", "pattern", "patternProperties"}
"""What leads elsewhere, or can take for ever: every district's tickets are checked by the same process."""
_SAMPLES: Final = {"enum", "const", "default", "examples"}
_NAMED: Final = {"properties", "$defs", "dependentSchemas"}


def check_form(form: Mapping[str, Any]) -> None:
    """Refuse a form that is no JSON Schema of an object, too large, or that could keep others waiting.

    Raises:
        Unprocessable: 422, with a pointer to what is wrong.
    """
    if len(json.dumps(form, ensure_ascii=False).encode()) > FORM:
        raise _wrong("#/form", f"at most {FORM} bytes", f"最多 {FORM} 字节")
    if form.get("type") != "object":
        raise _wrong("#/form/type", "a form asks for an object", "表单须为 object 类型")
    stack: list[tuple[str, Any, int]] = [("#/form", form, 0)]
    while stack:
        pointer, schema, depth = stack.pop()
        if depth > _NESTED:
            raise _wrong(pointer, f"at most {_NESTED} levels", f"最多 {_NESTED} 层")
        for key, value in schema.items() if isinstance(schema, dict) else ():
            at = f"{pointer}/{_escaped(key)}"
            if key in _REFUSED:
                raise _wrong(at, f"a form may not use {key}", f"表单不支持 {key}")
            if key in _NAMED and isinstance(value, dict):
                stack += [(f"{at}/{_escaped(name)}", part, depth + 1) for name, part in value.items()]
            elif key not in _SAMPLES:
                parts = value if isinstance(value, list) else [value]
                stack += [(at, part, depth + 1) for part in parts if isinstance(part, dict)]
    try:
        Draft202012Validator.check_schema(form)
    except SchemaError as error:
        raise _wrong(_pointer("#/form", error.absolute_path), error.message[:200], "不是有效的 JSON Schema") from None


def check_answers(kind: Kind, answers: Mapping[str, Any] | None) -> None:
    """Refuse answers that are not what the category's form asks for.

    Raises:
        Unprocessable: 422, with a pointer to each.
    """
    if kind.validator is None:
        if answers:
            raise _wrong("#/answers", "this category has no form", "该类别没有表单")
        return
    try:
        size = len(json.dumps(answers, ensure_ascii=False, allow_nan=False).encode())
    except ValueError:
        raise _wrong("#/answers", "no NaN, Infinity or half a character", "不能含有 NaN、Infinity 或残缺字符") from None
    if size > FORM:
        raise _wrong("#/answers", f"at most {FORM} bytes", f"最多 {FORM} 字节")
    found = [
        _fault(_pointer("#/answers", error.absolute_path), error.message[:200], "不符合表单要求")
        for error in islice(kind.validator.iter_errors(answers or {}), _SHOWN)
    ]
    if found:
        raise Unprocessable(errors=found)


def _wrong(pointer: str, detail: str, detail_zh: str) -> Unprocessable:
    return Unprocessable(errors=[_fault(pointer, detail, detail_zh)])


def _fault(pointer: str, detail: str, detail_zh: str) -> dict[str, str]:
    return {"pointer": pointer, "detail": detail, "detail_zh": detail_zh}


def _pointer(root: str, path: Iterable[str | int]) -> str:
    return "/".join([root, *(_escaped(str(part)) for part in path)])


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


_PARENT: Final = {"pointer": "#/parent", "detail": "no place in the tree", "detail_zh": "类别树中无此位置"}
