"""Wrong secrets, counted: nobody tries out many, and nobody locks a client out by trying."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeVar
from uuid import UUID

from directory.oauth import too_many
from directory.operations.clients import digest

_WRONG: Final = 10
_WITHIN: Final = 60.0
_REMEMBERED: Final = 10_000
Key = TypeVar("Key")
Value = TypeVar("Value")


class Attempts:
    """Lets one address try ten wrong secrets a minute for one client; after that no other is looked at.

    The secret that was right last time passes all the same: who shares an address with an attacker signs in. Each
    replica counts for itself. Whoever would have a count forgotten must try thousands of other clients first, which
    takes longer than to wait.

    Args:
        clock: tells seconds that never run backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[tuple[UUID, str], tuple[float, int]] = OrderedDict()
        self._right: OrderedDict[UUID, bytes] = OrderedDict()

    def check(self, client: UUID, secret: str, address: str) -> None:
        """Refuse a secret that is one too many.

        Raises:
            OAuthError: 429, with when to come again.
        """
        until, wrong = self._wrong.get((client, address), (0.0, 0))
        left = until - self._clock()
        if wrong >= _WRONG and left > 0 and self._right.get(client) != digest(secret):
            raise too_many(math.ceil(left))

    def right(self, client: UUID, secret: str) -> None:
        """Remember a secret that was right; it is kept as a hash."""
        self._right[client] = digest(secret)
        _bound(self._right, client)

    def wrong(self, client: UUID, address: str) -> None:
        """Count a secret that was wrong."""
        until, wrong = self._wrong.get((client, address), (0.0, 0))
        now = self._clock()
        self._wrong[client, address] = (until, wrong + 1) if until > now else (now + _WITHIN, 1)
        _bound(self._wrong, (client, address))


def _bound(kept: OrderedDict[Key, Value], newest: Key) -> None:
    kept.move_to_end(newest)
    while len(kept) > _REMEMBERED:
        kept.popitem(last=False)
