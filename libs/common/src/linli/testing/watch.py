"""How long something takes, on a machine that is busy with other things."""

import asyncio
import time
from types import TracebackType
from typing import Final, Self

_TICK: Final = 0.02


class Watch:
    """Counts the seconds in which this process's loop ran, for upper bounds of what is done in the block.

    What looks slow may be a machine that gave nothing here any time for seconds: of a pause between two ticks it
    counts no more than two of them.

    Attributes:
        seconds: counted so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    async def __aenter__(self) -> Self:
        """Begin to count."""
        self._ticking = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Count no longer."""
        self._ticking.cancel()

    async def _tick(self) -> None:
        before = time.monotonic()
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            self.seconds += min(now - before, 2 * _TICK)
            before = now
