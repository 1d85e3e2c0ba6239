"""Forms of categories (表单): what one may ask, and whether what was answered is what it asks for."""

import json
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from fractions import Fraction
from itertools import islice
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend

from linli.problems import Unprocessable

FORM: Final = 16_000
"""Bytes that a form may have, and the answers to it."""
_NESTED: Final = 8
_DEEP: Final = {"form": 64, "answers": 16}
"""Levels of objects and lists. What is much deeper can be kept, but not be written out again for those who read it."""
_SHOWN: Final = 20
_REFUSED: Final = {
    *("$id", "$anchor", "$dynamicAnchor", "$ref", "$dynamicRef", "$recursiveRef"),
    *("pattern", "patternProperties"),
}
"""What leads elsewhere, or can take for ever: every district's tickets are checked by the same process."""
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_SAMPLES: Final = {"enum", "const", "default", "examples"}
_NAMED: Final = {"properties", "$defs", "dependentSchemas"}


def check_form(form: Mapping[str, Any]) -> None:
    """Refuse a form that is no JSON Schema of an object, too large, or that could keep others waiting.

    Raises:
        Unprocessable: 422, with a pointer to what is wrong.
    """
    _not_deep("form", form)
    if len(json.dumps(form, ensure_ascii=False).encode()) > FORM:
        raise _wrong("#/form", f"at most {FORM} bytes", f"最多 {FORM} 字节")
    if form.get("type") != "object":
        raise _wrong("#/form/type", "a form asks for an object", "表单须为 object 类型")
    _check_keywords(form)
    try:
        Draft202012Validator.check_schema(form)
    except SchemaError as error:
        raise _wrong(_pointer("#/form", error.absolute_path), error.message[:200], "不是有效的 JSON Schema") from None


def _check_keywords(form: Mapping[str, Any]) -> None:
    stack: list[tuple[str, Any, int]] = [("#/form", form, 0)]
    while stack:
        pointer, schema, depth = stack.pop()
        if depth > _NESTED:
            raise _wrong(pointer, f"at most {_NESTED} levels", f"最多 {_NESTED} 层")
        for key, value in schema.items() if isinstance(schema, dict) else ():
            at = f"{pointer}/{_escaped(key)}"
            # A part that names its dialect would be checked by that, and without a budget.
            if key in _REFUSED or (key == "$schema" and (depth or value != _DIALECT)):
                raise _wrong(at, f"a form may not use {key} here", f"此处不支持 {key}")
            if key in _NAMED and isinstance(value, dict):
                stack += [(f"{at}/{_escaped(name)}", part, depth + 1) for name, part in value.items()]
            elif key not in _SAMPLES:
                parts = value if isinstance(value, list) else [value]
                stack += [(at, part, depth + 1) for part in parts if isinstance(part, dict)]


class Form:
    """What checks the answers to a form.

    Args:
        schema: its JSON Schema; None where nothing is asked.
    """

    def __init__(self, schema: Mapping[str, Any] | None) -> None:
        self._validator = None if schema is None else _Validator(schema)

    def check(self, answers: Mapping[str, Any] | None) -> None:
        """Refuse answers that are not what it asks for.

        Raises:
            Unprocessable: 422, with a pointer to each.
        """
        if self._validator is None:
            if answers:
                raise _wrong("#/answers", "this category has no form", "该类别没有表单")
            return
        _not_deep("answers", answers)
        try:
            size = len(json.dumps(answers, ensure_ascii=False, allow_nan=False).encode())
        except ValueError:
            raise _wrong(
                "#/answers", "no NaN, Infinity or half a character", "不能含有 NaN、Infinity 或残缺字符"
            ) from None
        if size > FORM:
            raise _wrong("#/answers", f"at most {FORM} bytes", f"最多 {FORM} 字节")
        _left.set(_STEPS)
        found = [
            _fault(_pointer("#/answers", error.absolute_path), error.message[:200], "不符合表单要求")
            for error in islice(self._validator.iter_errors(answers or {}), _SHOWN)
        ]
        if found:
            raise Unprocessable(errors=found)


_STEPS: Final = 50_000
"""What a check may take: a rule, or one of its choices, beside a value. That is 0.2 s, while which others wait."""
_left: ContextVar[int] = ContextVar("_left")
_Rule = Callable[[Any, Any, Any, Any], Iterable[ValidationError] | None]


def _counted(keyword: str, rule: _Rule) -> _Rule:
    def check(validator: object, wanted: object, value: object, schema: object) -> Iterable[ValidationError] | None:
        steps = 1 + (len(wanted) if isinstance(wanted, list | dict) else 0)
        if keyword == "uniqueItems" and isinstance(value, list):
            steps += len(value) ** 2 // 8  # it may compare each with each
        left = _left.get() - steps
        if left < 0:
            raise _wrong("#/answers", "too many to be checked against the form", "内容过多，无法按表单检查")
        _left.set(left)
        return rule(validator, wanted, value, schema)

    return check


def _multiple_of(validator: Any, wanted: Any, value: Any, _: object) -> Iterable[ValidationError]:  # noqa: ANN401 any number
    """Check as people write numbers: 0.29 is 29 times 0.01, which it is not in binary."""
    if validator.is_type(value, "number") and (Fraction(str(value)) / Fraction(str(wanted))).denominator != 1:
        yield ValidationError(f"{value!r} is not a multiple of {wanted}")


_Validator: Final = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        keyword: _counted(keyword, rule)
        for keyword, rule in {**Draft202012Validator.VALIDATORS, "multipleOf": _multiple_of}.items()
    },
)


def _not_deep(what: str, value: object) -> None:
    level = [value]
    for _ in range(_DEEP[what]):
        level = [part for one in level for part in _parts(one)]
    if any(_parts(one) for one in level):
        raise _wrong(f"#/{what}", f"at most {_DEEP[what]} levels", f"最多 {_DEEP[what]} 层")


def _parts(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _wrong(pointer: str, detail: str, detail_zh: str) -> Unprocessable:
    return Unprocessable(errors=[_fault(pointer, detail, detail_zh)])


def _fault(pointer: str, detail: str, detail_zh: str) -> dict[str, str]:
    return {"pointer": pointer, "detail": detail, "detail_zh": detail_zh}


def _pointer(root: str, path: Iterable[str | int]) -> str:
    return "/".join([root, *(_escaped(str(part)) for part in path)])


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
