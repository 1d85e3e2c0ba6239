"""Units (单元): where things belong, as national codes of 18 digits.

A code has 6 digits for the district (区), then 3 each for street (街道), community (社区), grid (网格) and
micro-grid (微网格); missing levels are zeros. The first 12 are the official division code, the first 15 the
unit-grid code of the digital city management standards (GB/T 30428). A subtree is therefore a closed range.

In Python and PostgreSQL a unit is an integer; in JSON, URLs and events it is its short text, because JSON
numbers are exact only up to 2^53.
"""

from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

PLATFORM: Final = 0
_DIGITS: Final = 18
_SPECIAL: Final = 900
"""Grid numbers 900-999 are special grids, community numbers 900-999 under a street blocks of shops."""


class Level(StrEnum):
    """How deep a unit stands in the tree."""

    PLATFORM = "platform"
    DISTRICT = "district"
    STREET = "street"
    COMMUNITY = "community"
    GRID = "grid"
    MICRO_GRID = "micro_grid"


class Kind(StrEnum):
    """What a unit is: its level, with special grids (专属网格) and blocks of shops (街区) told apart."""

    PLATFORM = "platform"
    DISTRICT = "district"
    STREET = "street"
    COMMUNITY = "community"
    BLOCK = "block"
    GRID = "grid"
    SPECIAL_GRID = "special_grid"
    MICRO_GRID = "micro_grid"


_LENGTHS: Final = {
    Level.DISTRICT: 6,
    Level.STREET: 9,
    Level.COMMUNITY: 12,
    Level.GRID: 15,
    Level.MICRO_GRID: 18,
}


def parse(text: str | int) -> int:
    """Read a unit from its short or full text, or check a full integer.

    Args:
        text: 6, 9, 12, 15 or 18 digits, `"0"` for the platform, or an 18-digit integer.

    Raises:
        ValueError: when it is no code, or a level is missing between two given ones.
    """
    return _parse(str(text))


@lru_cache(maxsize=10_000)
def _parse(digits: str) -> int:
    if digits == "0":
        return PLATFORM
    if not (digits.isascii() and digits.isdigit()) or len(digits) not in _LENGTHS.values() or digits[0] == "0":
        raise ValueError(
            "a unit code has 6, 9, 12, 15 or 18 digits, e.g. 310104003 (单元代码应为6、9、12、15或18位数字)"
        )
    code = int(digits.ljust(_DIGITS, "0"))
    numbers = [code // 10**power % 1000 for power in (9, 6, 3, 0)]
    if any(inner and not outer for outer, inner in pairwise(numbers)):
        raise ValueError("a unit code has no level left out between two given ones (单元代码中间缺少层级)")
    return code


def level(code: int) -> Level:
    """Tell how deep a unit stands."""
    if code == PLATFORM:
        return Level.PLATFORM
    if code % 10**3:
        return Level.MICRO_GRID
    if code % 10**6:
        return Level.GRID
    if code % 10**9:
        return Level.COMMUNITY
    if code % 10**12:
        return Level.STREET
    return Level.DISTRICT


def kind(code: int) -> Kind:
    """Tell what a unit is."""
    found = level(code)
    if found is Level.GRID and code // 10**3 % 1000 >= _SPECIAL:
        return Kind.SPECIAL_GRID
    if found is Level.COMMUNITY and code // 10**6 % 1000 >= _SPECIAL:
        return Kind.BLOCK
    return Kind(found.value)


@lru_cache(maxsize=10_000)
def short(code: int) -> str:
    """Write a unit without the zeros of its missing levels: `310104003000000000` is `"310104003"`."""
    if code == PLATFORM:
        return "0"
    return str(code)[: _LENGTHS[level(code)]]


def span(code: int) -> tuple[int, int]:
    """Give the closed range of a unit's subtree: lowest and highest code."""
    if code == PLATFORM:
        return 0, 10**_DIGITS - 1
    size = 10 ** (_DIGITS - _LENGTHS[level(code)])
    return code, code + size - 1


def parent(code: int) -> int | None:
    """Give the unit above: the platform for a district, None for the platform."""
    match level(code):
        case Level.PLATFORM:
            return None
        case Level.DISTRICT:
            return PLATFORM
        case Level.STREET:
            return code - code % 10**12
        case Level.COMMUNITY:
            return code - code % 10**9
        case Level.GRID:
            return code - code % 10**6
        case Level.MICRO_GRID:
            return grid(code)


def district(code: int) -> int:
    """Give the 6-digit district (区) a unit belongs to, the tenant; 0 for the platform."""
    return code // 10**12


def grid(code: int) -> int:
    """Give the code with its micro-grid zeroed: the grid a micro-grid lies in, any other unit itself."""
    return code - code % 10**3


def community(code: int) -> int:
    """Give the community (社区) a unit lies in, or what lies above communities itself: a grid tells where one lives."""
    return code - code % 10**6


def contains(outer: int, inner: int) -> bool:
    """Tell whether `inner` is `outer` or lies below it."""
    low, high = span(outer)
    return low <= inner <= high


UnitCode = Annotated[
    int,
    BeforeValidator(parse),
    PlainSerializer(short, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^(0|[1-9]\d{5}(\d{3}){0,4})$", "examples": ["310104003"]}),
]
"""A unit in JSON, in a URL or in an event: short text outside, integer inside."""
