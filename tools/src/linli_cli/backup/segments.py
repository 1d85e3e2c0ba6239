"""Pieces of PostgreSQL's log (WAL, 预写日志): their names, their order, and whether one is missing.

A piece's name is 24 hexadecimal digits: the timeline, and the piece's number in two halves. Timelines fork where a
server was restored; `<timeline>.history` says where.
"""

import re
import struct
from collections.abc import Collection, Iterator
from typing import Final

SIZE: Final = 16 * 2**20
"""PostgreSQL's default, which no kind of deployment changes."""
PARTIAL: Final = ".partial"
HISTORY: Final = ".history"
_PIECE: Final = re.compile(r"[0-9A-F]{24}")
_IN_HIGH: Final = 2**32 // SIZE
_HEADER: Final = struct.Struct("<HHIQ")


def is_piece(name: str) -> bool:
    """Tell whether this names a whole piece."""
    return bool(_PIECE.fullmatch(name))


def number(name: str) -> int:
    """Tell which piece of the log it is, on whatever timeline."""
    return int(name[8:16], 16) * _IN_HIGH + int(name[16:24], 16)


def timeline(name: str) -> int:
    """Tell on which timeline it is."""
    return int(name[:8], 16)


def name_of(line: int, place: int) -> str:
    """Name a piece."""
    return f"{line:08X}{place // _IN_HIGH:08X}{place % _IN_HIGH:08X}"


def position(lsn: str) -> int:
    """Read a position in the log as PostgreSQL prints it."""
    high, _, low = lsn.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def between(line: int, start: str, end: str) -> Iterator[str]:
    """Name the pieces that a part of the log is in."""
    for place in range(position(start) // SIZE, (position(end) - 1) // SIZE + 1):
        yield name_of(line, place)


def ancestors(history: str) -> dict[int, int]:
    """Read from a timeline's history which ones it came from, and at which position each was left."""
    lines = (line.split() for line in history.splitlines())
    return {int(line[0]): position(line[1]) for line in lines if line and not line[0].startswith("#")}


def missing(first: str, names: Collection[str]) -> list[str]:
    """Name the pieces that should be there and are not, from the first to the last of the newest timeline.

    Args:
        first: the first one that is needed.
        names: of pieces; those that a newer timeline has too count for nothing.
    """
    lines: dict[int, int] = {}
    for name in names:
        lines[number(name)] = max(timeline(name), lines.get(number(name), 0))
    last = max((place for place, line in lines.items() if line == max(lines.values())), default=0)
    found, line = [], timeline(first)
    for place in range(number(first), last + 1):
        if lines.get(place, 0) < line:  # one that an older timeline has is no part of this one
            found.append(name_of(line, place))
        line = max(line, lines.get(place, 0))
    return found


def holds(name: str, content: bytes) -> bool:
    """Tell whether this is the content of the piece of that name."""
    if len(content) != SIZE:
        return False
    line: int
    address: int
    _, _, line, address = _HEADER.unpack_from(content)
    # What precedes a fork is a copy from the timeline before.
    return address == number(name) * SIZE and 0 < line <= timeline(name)
