"""The log of every change (WAL 归档) where backups are: which pieces of it there are, and which lead to a time."""

import gzip
from datetime import datetime
from itertools import pairwise
from typing import Final

from linli_cli.archive.places import Place
from linli_cli.archive.seal import Key
from linli_cli.archive.tape import damaged
from linli_cli.backup import reached, segments
from linli_cli.backup.contents import Server
from linli_cli.console import Trouble

_SEALED: Final = ".gz.age"


def path(system: str, name: str) -> str:
    """Tell where a piece or a history is kept."""
    return f"{reached.WHERE}/{system}/{name}{_SEALED}"


def names(place: Place, system: str) -> list[str]:
    """List what is kept of a server's log: pieces, whole and partial, and histories."""
    found = [one.rpartition("/")[2] for one in place.names(f"{reached.WHERE}/{system}")]
    return [one.removesuffix(_SEALED) for one in found if one.endswith(_SEALED)]


def pieces(place: Place, system: str) -> list[str]:
    """List the pieces, whole and partial."""
    return [name for name in names(place, system) if not name.endswith(segments.HISTORY)]


def lines(place: Place, server: Server, at: datetime | None = None) -> list[int]:
    """List the timelines that lead from a backup on: its own, and those that the platform was restored to.

    Those of copies are none of them. Nor are, for a time until which one was kept, the timelines after it: the platform
    was restored later, perhaps to how it had been before that time.

    Raises:
        Trouble: when the time is between two of them: what is on the later one is of after it.
    """
    found = reached.read(place, server.system)
    if found is None or not found.has(server.timeline, server.end):
        return [server.timeline]
    newest = found.timeline or max(map(segments.timeline, pieces(place, server.system)), default=0)
    there = [line for line in range(server.timeline, newest + 1) if found.has(line)] or [server.timeline]
    if at is None:
        return there
    spans = found.spans
    last = there[-1]
    for line, after in pairwise(there):
        span, following = spans.get(line), spans.get(after)
        # Where it isn't known until when one was kept, PostgreSQL says whether that is before the next one began.
        until = span.until if span else following and following.since
        if until and at <= until:
            last = line
            break
    if last != there[0] and (span := spans.get(last)) and span.since and at < span.since:
        raise Trouble(
            f"No log of {at:%F %T %Z} leads to what is kept now: the platform was restored after that time.",
            f"{at:%F %T %Z} 的日志不在当前时间线上：平台在此之后曾被恢复。",
            hint="Name a backup from shortly before, which is followed by itself: linli restore "
            "PLACE/base/NAME.age --at ...  请指定该时刻之前不久的备份。",
        )
    return [line for line in there if line <= last]


def later(place: Place, server: Server, at: datetime | None = None) -> list[str]:
    """List the pieces from a backup's first on, in order; a partial one where there is no whole one."""
    first, there = segments.number(server.pieces[0]), lines(place, server, at)
    found = [
        name
        for name in pieces(place, server.system)
        if segments.number(name) >= first and segments.timeline(name) in there
    ]
    whole = {name for name in found if segments.is_piece(name)}
    return sorted(name for name in found if name in whole or name.removesuffix(segments.PARTIAL) not in whole)


def gap(place: Place, server: Server, at: datetime | None = None) -> list[str]:
    """Name the pieces that are missing, of those that follow a backup."""
    found = [name.removesuffix(segments.PARTIAL) for name in later(place, server, at)]
    return segments.missing(server.pieces[0], [*server.pieces, *found])


def fetch(place: Place, system: str, name: str, key: Key) -> bytes:
    """Read a piece or a history.

    Raises:
        Trouble: when it is damaged, or the key is another.
    """
    with place.reading(path(system, name)) as sealed, key.opening(sealed) as plain:
        try:
            content = gzip.decompress(plain.read())
        except (OSError, EOFError) as error:
            raise damaged() from error
    bare = name.removesuffix(segments.PARTIAL)
    if segments.is_piece(bare) and not segments.holds(bare, content):
        raise Trouble(f"{path(system, name)} is not what its name says.", f"{path(system, name)} 内容与名称不符。")
    return content
