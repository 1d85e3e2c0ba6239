"""Lanes (通道): a database server that is away takes nothing from the districts on the others.

Consumers take what comes, whatever district it is of. While a server is away, one message now and then tries whether
it is back, and all others for it are given back to the broker at once: so they hold up no others behind them.
"""

import asyncio
import random
import time
from typing import Final

_TRY_EVERY: Final = 1.0


class Lane:
    """What all consumers of a service share of one database server.

    Attributes:
        slots: how many may work on it at a time; requests must find connections however much there is to consume.
    """

    def __init__(self, slots: int, at_most: float) -> None:
        self.slots = asyncio.Semaphore(slots)
        self._at_most = at_most
        self._away = False
        self._try_at = 0.0

    def closed(self) -> bool:
        """Tell whether to come later; who is not told so tries for all, and says how it went."""
        now = time.monotonic()
        if self._away and now < self._try_at:
            return True
        self._try_at = now + self._at_most
        return False

    def answered(self) -> None:
        """Say that the server is there."""
        self._away = False

    def lost(self) -> None:
        """Say that the server is away."""
        self._away = True
        self._try_at = time.monotonic() + _TRY_EVERY * random.uniform(0.75, 1.25)  # noqa: S311 jitter
