"""What befalls the parts, one after the other."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle

import httpx
import psutil

from chaos.proxy import Cut
from chaos.stack import Stack
from linli_cli.home import CONSOLE, SERVICES

_LASTS = 4.0
_STORES = ("postgres", "nats")
_SOME = bytes(2**20)
_PARTS = (*SERVICES, *_STORES, "gateway")


@dataclass(frozen=True)
class Fault:
    """Something that befalls a part.

    Attributes:
        kind: `nothing`, `kill`, `pause`, `cut refuse`, `cut hang`, `cut drop` or `disk full`.
        part: whom it befalls.
    """

    kind: str
    part: str

    async def befall(self, stack: Stack) -> None:
        """Let it happen, from its beginning to its end; what was killed is not back yet."""
        if self.kind == "nothing":
            return
        if self.kind == "kill":
            await asyncio.to_thread(_signal, stack, self.part, signal.SIGKILL)
        elif self.kind == "pause":
            paused = await asyncio.to_thread(_signal, stack, self.part, signal.SIGSTOP)
            await asyncio.sleep(_LASTS)
            _send(paused, signal.SIGCONT)
        elif self.kind == "disk full":
            await _fill(stack, self.part)
        else:
            doors = stack.around(self.part)
            for door in doors:
                door.cut(Cut(self.kind.removeprefix("cut ")))
            await asyncio.sleep(_LASTS)
            for door in doors:
                await door.open()


def planned(stack: Stack, *, every: bool) -> Iterator[Fault]:
    """Plan the faults: each part killed, paused and cut off, the stores in every way, and their disks full.

    The first is none at all: what it takes shows how busy the machine is with other things.

    Args:
        stack: whose disks are small, if it has any such.
        every: cut off every part in every way.
    """
    yield Fault("nothing", "platform")
    for part in (*_PARTS, CONSOLE):
        yield Fault("kill", part)
    for part in _PARTS:
        yield Fault("pause", part)
    ways = cycle(Cut)
    for part in _PARTS:
        for how in Cut if every or part in _STORES else [next(ways)]:
            yield Fault(f"cut {how}", part)
    for part in stack.small:
        yield Fault("disk full", part)


def _signal(stack: Stack, part: str, what: signal.Signals) -> list[psutil.Process]:
    processes = stack.processes(part)
    if not processes:
        raise RuntimeError(f"{part} does not run")
    _send(processes, what)
    return processes


def _send(processes: list[psutil.Process], what: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(what)


async def _fill(stack: Stack, part: str) -> None:
    """Take the whole disk for a while. Who then has given up is started anew, as runbook and liveness probe have it."""
    filler = stack.data(part) / "filler"
    # Its owner writes meanwhile: how much there is room for shows only when there is none.
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(_SOME)
    await asyncio.sleep(_LASTS)
    filler.unlink()
    if part == "nats" and not await _well(stack):
        await asyncio.to_thread(_signal, stack, part, signal.SIGTERM)


async def _well(stack: Stack) -> bool:
    async with httpx.AsyncClient(timeout=3, trust_env=False) as client:
        try:
            return (await client.get(f"http://127.0.0.1:{stack.home.monitor_port}/healthz")).is_success
        except httpx.TransportError:
            return False
