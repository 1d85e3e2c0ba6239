"""Time in which work takes none: how late a clock is fired is then the clockwork's own doing, not the machine's."""

import asyncio
import random
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest

from linli.clockwork import POLL, Clockwork

_POLL = timedelta(seconds=POLL)


class IdealTime:
    """Time that goes on while every clockwork rests, to when the first of them looks again.

    Where nothing falls due for long it leaps, from two polls after the last moment to one or two before the next: all
    that is to be done in time is left to the clockwork.

    Args:
        moments: when something falls due.
        end: where it stops.
    """

    def __init__(self, moments: Iterable[datetime], end: datetime | None = None) -> None:
        self._moments = sorted(set(moments))
        self._end = end or self._moments[-1] + 2 * _POLL
        self._looks_at: dict[Clockwork, datetime] = {}
        self._stands = False
        self.now = self._moments[0] - 2 * _POLL

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Let no time pass while the block runs, for what is not a clockwork's work and takes the machine a while."""
        self._stands = True
        try:
            yield
        finally:
            self._stands = False

    def rules(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have every clockwork rest in this time."""
        look = Clockwork._round

        async def round_(clockwork: Clockwork, connection: object) -> float:
            self._looks_at[clockwork] = self.now
            return await look(clockwork, connection)

        monkeypatch.setattr(Clockwork, "_round", round_)

        async def rest(clockwork: Clockwork, seconds: float) -> None:
            await self._rest(clockwork, seconds)

        monkeypatch.setattr(Clockwork, "_rest", rest)

    async def _rest(self, clockwork: Clockwork, seconds: float) -> None:
        self._looks_at[clockwork] = self.now + timedelta(seconds=seconds)
        while self._looks_at[clockwork] > self.now and not clockwork._ending.is_set():
            # Who is ending looks no more, also where he was cut off in the middle of it.
            first = min(at for one, at in self._looks_at.items() if not one._ending.is_set())
            busy = self._stands or any(one._in_hand for one in self._looks_at)
            if first <= self.now or self.now >= self._end or busy:
                await asyncio.sleep(0.001)
            else:
                self.now = min(max(first, self._leap()), self._end)

    def _leap(self) -> datetime:
        following = bisect_right(self._moments, self.now)
        past = following == 0 or self._moments[following - 1] + 2 * _POLL <= self.now
        if past and following < len(self._moments):
            return self._moments[following] - random.uniform(1, 2) * _POLL  # noqa: S311 guards no secret
        return self.now
