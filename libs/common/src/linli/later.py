"""Writes whose rows nobody reads (待写): they wait for each other, and go to the database as one statement.

A step of a ticket writes its trail, its clocks and its event. Each would be a round trip, which costs more than what is
written: docs/decisions/0009-fewer-round-trips.md
"""

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

_AT_ONCE: Final = 8
"""Writes in a statement at most: each combination is a statement of its own, of which a connection keeps a hundred."""
_PLACE: Final = re.compile(r"\$(\d+)")


@dataclass(slots=True)
class Later:
    """What a transaction has still to write."""

    _statements: list[str] = field(default_factory=list)
    _values: list[Sequence[object]] = field(default_factory=list)
    _rows: set[Hashable] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self._statements)

    def takes(self, rows: frozenset[Hashable]) -> bool:
        """Whether it takes one more: parts of a statement don't see each other, so no two may change the same row."""
        return len(self._statements) < _AT_ONCE and self._rows.isdisjoint(rows)

    def add(self, statement: str, values: Sequence[object], rows: frozenset[Hashable]) -> None:
        """Have a write wait."""
        self._statements.append(statement)
        self._values.append(values)
        self._rows |= rows

    def take(self) -> tuple[str, list[object]]:
        """Give all of them as one statement, with its values; nothing waits any longer."""
        counts = tuple(map(len, self._values))
        statement = _together(tuple(self._statements), counts)
        values = [value for values in self._values for value in values]
        self._statements, self._values, self._rows = [], [], set()
        return statement, values


@lru_cache(maxsize=256)
def _together(statements: tuple[str, ...], counts: tuple[int, ...]) -> str:
    if len(statements) == 1:
        return statements[0]
    parts = [
        f"part{number} AS ({_moved(statement, sum(counts[:number]))})" for number, statement in enumerate(statements)
    ]
    return f"WITH {', '.join(parts)} SELECT"


def _moved(statement: str, by: int) -> str:
    return _PLACE.sub(lambda place: f"${int(place[1]) + by}", statement)
