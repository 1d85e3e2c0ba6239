"""Until when a server's log is kept, and on which timeline (时间线): a restore begins a new one, under the old number.

So a copy, such as a drill's, is told from the server it was restored from by its timeline alone.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
from pydantic import BaseModel, ValidationError

from linli_cli.archive.places import Place
from linli_cli.backup import segments
from linli_cli.console import Trouble

WHERE: Final = "wal"
_FRESH: Final = timedelta(minutes=5)
_WHO: Final = "SELECT system_identifier::text, pg_walfile_name(pg_current_wal_flush_lsn()) FROM pg_control_system()"
_ORIGIN: Final = "SELECT modification, pg_read_file($1, true) FROM pg_stat_file($1, true)"


class Span(BaseModel):
    """The time of one timeline.

    Attributes:
        until: all that was committed before is kept.
        since: when it began; None for the first, and when a version wrote this that did not say.
    """

    until: datetime
    since: datetime | None = None


class Reached(Span):
    """How far a server's log is kept.

    Attributes:
        timeline: on which it goes on; 0 when a version wrote this that did not say.
        before: the timelines that it came from, with the time of each where that is known; None for the first, and
            when a version wrote this that did not say.
        forks: the position in the log at which each of those was left; empty when a version wrote this that did not
            say.
    """

    timeline: int = 0
    before: dict[int, Span | None] | None = None
    forks: dict[int, int] = {}

    def has(self, timeline: int, end: int = 0) -> bool:
        """Tell whether what is on a timeline up to a position leads to this log.

        What is a copy's does not, nor what came after the position at which the timeline was left.
        """
        if self.before is None:
            return self.timeline == 0 or timeline <= self.timeline
        return timeline == self.timeline or (timeline in self.before and end <= self.forks.get(timeline, end))

    @property
    def spans(self) -> dict[int, Span | None]:
        """The time of this timeline, and of those that it came from."""
        return {**(self.before or {}), self.timeline: Span(until=self.until, since=self.since)}


def _path(system: str) -> str:
    return f"{WHERE}/{system}/reached.json"


async def who(connection: asyncpg.Connection) -> tuple[str, int]:
    """Ask a server for its number, and for the timeline that it is on."""
    system, piece = await connection.fetchrow(_WHO)
    return system, segments.timeline(piece)


async def origin(connection: asyncpg.Connection, timeline: int) -> tuple[datetime | None, dict[int, int] | None]:
    """Ask a server when its timeline began, and where it left which ones; of the first it knows neither."""
    since, history = await connection.fetchrow(_ORIGIN, f"pg_wal/{timeline:08X}{segments.HISTORY}")
    return since, None if history is None else segments.ancestors(history)


def read(place: Place, system: str) -> Reached | None:
    """Tell how far a server's log is kept; None when nothing is.

    Raises:
        Trouble: when what says so is damaged.
    """
    content = place.find(_path(system))
    try:
        return None if content is None else Reached.model_validate_json(content)
    except ValidationError as error:
        raise Trouble(f"{_path(system)} is not what was written there.", f"{_path(system)} 已损坏。") from error


def write(place: Place, system: str, reached: Reached) -> None:
    """Say how far a server's log is kept."""
    place.write(_path(system), reached.model_dump_json().encode())


def go_on(place: Place, system: str, now: Reached) -> None:
    """Say how far a server's log is kept, and of the timelines before what was said until then.

    Args:
        place: of backups.
        system: the server's number.
        now: with the timelines before, whatever is known of them.
    """
    found = read(place, system)
    if found and now.before is not None:
        now = now.model_copy(update={"before": {line: found.spans.get(line) for line in now.before}})
    write(place, system, now)


def until(place: Place, system: str, timeline: int, end: int = 0) -> datetime | None:
    """Tell until when what is on a timeline up to a position can be followed; None when no log that it leads to is."""
    found = read(place, system)
    return found.until if found and found.has(timeline, end) else None


def passed(place: Place, system: str, timeline: int, end: int, since: datetime) -> bool:
    """Tell whether what is on a timeline up to a position leads nowhere: another log has been kept since then."""
    found = read(place, system)
    return found is not None and not found.has(timeline, end) and found.until > since


def require_alone(place: Place, system: str, timeline: int) -> Reached | None:
    """Tell how far a server's log is kept, where it is the only one under its number.

    Raises:
        Trouble: when the log of a copy of it, or of what it is a copy of, is being kept there.
    """
    found = read(place, system)
    if found and found.timeline not in {0, timeline} and datetime.now(UTC) - found.until < _FRESH:
        raise Trouble(
            f"In {place.address} the log of another copy of this database is being kept, on timeline {found.timeline}; "
            f"this one is on {timeline}.",
            f"{place.address} 正在归档同一数据库另一副本的日志（时间线 {found.timeline}，此处为 {timeline}）。",
            hint="A drill's backups go elsewhere: another LINLI_BACKUP_TO, or none. Is the other copy gone for good, "
            "wait five minutes.  演练请使用其他备份位置；若另一副本已停用，请五分钟后重试。",
        )
    return found
