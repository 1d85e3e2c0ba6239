import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from linli import units
from linli.units import Kind, Level, UnitCode


@st.composite
def codes(draw: st.DrawFn) -> str:
    """Short texts of units of every level."""
    numbers = st.integers(1, 999).map("{:03}".format)
    return str(draw(st.integers(110000, 659999))) + "".join(draw(st.lists(numbers, max_size=4)))


@given(codes())
def test_short_text_and_number_are_one_unit(code: str) -> None:
    unit = units.parse(code)
    assert units.short(unit) == code
    assert units.parse(unit) == unit
    assert units.parse(str(unit)) == unit


@given(codes(), codes())
def test_a_unit_contains_what_begins_with_its_code(outer: str, inner: str) -> None:
    assert units.contains(units.parse(outer), units.parse(inner)) == inner.startswith(outer)
    assert units.contains(units.PLATFORM, units.parse(inner))


@given(codes())
def test_the_way_up_ends_at_the_platform(code: str) -> None:
    unit: int | None = units.parse(code)
    steps = []
    while unit is not None:
        steps.append(units.level(unit))
        unit = units.parent(unit)
    assert steps == list(reversed(Level))[-len(steps) :]


@given(codes())
def test_a_child_lies_in_the_span_of_its_parent(code: str) -> None:
    unit = units.parse(code)
    above = units.parent(unit)
    assert above is not None
    low, high = units.span(above)
    assert low <= units.span(unit)[0] <= units.span(unit)[1] <= high


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("0", Kind.PLATFORM),
        ("310104", Kind.DISTRICT),
        ("310104003", Kind.STREET),
        ("310104003001", Kind.COMMUNITY),
        ("310104003901", Kind.BLOCK),
        ("310104003001001", Kind.GRID),
        ("310104003001900", Kind.SPECIAL_GRID),
        ("310104003001001001", Kind.MICRO_GRID),
        ("310104003001900001", Kind.MICRO_GRID),
    ],
)
def test_kinds(code: str, kind: Kind) -> None:
    assert units.kind(units.parse(code)) is kind


@pytest.mark.parametrize(
    "text",
    [
        *("", "31", "3101040030", "abcdef", "010104", "310104000001", "310104003000001", "３１０１０４"),
        *("-10104", "310104 ", None, True, 3.1e17),
    ],
)
def test_what_is_no_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="单元代码"):
        units.parse(text)


def test_a_unit_is_text_in_json() -> None:
    adapter: TypeAdapter[int] = TypeAdapter(UnitCode)
    unit = adapter.validate_json('"310104003"')
    assert unit == 310104003000000000
    assert adapter.dump_json(unit) == b'"310104003"'


def test_the_real_divisions_are_units() -> None:
    path = Path(__file__).parents[3] / "data" / "divisions.csv"
    with path.open(encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            unit = units.parse(row["code"])
            assert units.level(unit) == row["level"]
            if row["parent_code"]:
                assert units.parent(unit) == units.parse(row["parent_code"])
