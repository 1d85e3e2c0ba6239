"""Who may look, at which district, and for what."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

import jwt
from fastapi import Depends, Query, Request
from sqlalchemy import ColumnElement, Select, any_, func, literal, select, true

from console.models import ALL, Span, Trace
from linli import units
from linli.problems import OutsideScope
from linli.schemas import Moment
from linli.security import Principal, require
from linli.units import Level, UnitCode

_HOUR: Final = timedelta(hours=1)
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)


async def _operator(caller: Annotated[Principal, require("traces.read")]) -> Principal:
    if units.level(caller.unit) not in {Level.PLATFORM, Level.DISTRICT}:
        raise OutsideScope(unit=units.short(units.district(caller.unit) * 10**12))
    return caller


Operator = Annotated[Principal, Depends(_operator)]
"""An operator of the platform, who sees everything, or of a district, who sees what is its own."""


def expiry(request: Request) -> datetime:
    """Tell when the caller's token ends, which was verified before."""
    token = request.headers["authorization"].partition(" ")[2].strip()
    claims = jwt.decode(token, options={"verify_signature": False})
    return datetime.fromtimestamp(claims["exp"], UTC)


@dataclass(frozen=True)
class Window:
    """A time."""

    since: datetime
    until: datetime


def window(since: datetime | None, until: datetime | None, length: timedelta = _HOUR) -> Window:
    """Give the time asked for; what is not said is now, and so long before."""
    until = _known(until or datetime.now(UTC))
    return Window(_known(since) if since else until - length, until)


def _known(moment: datetime) -> datetime:
    """Give a moment, or the nearest that there may be traces of: of the first ones there are, none has a day before."""
    return min(max(moment, _EARLIEST), _LATEST)


class Filters:
    """What to look for; it names the district whose view of the traces is asked for."""

    def __init__(  # noqa: PLR0913, PLR0917 query parameters
        self,
        operator: Operator,
        service: Annotated[str | None, Query(max_length=200, description="Took part (服务)")] = None,
        operation: Annotated[str | None, Query(max_length=200, description="Request, message or timer (操作)")] = None,
        district: Annotated[UnitCode | None, Query(description="District, 6 digits (区)")] = None,
        unit: Annotated[UnitCode | None, Query(description="At or below this unit (单元)")] = None,
        error: Annotated[bool, Query(description="Only with errors (仅错误)")] = False,  # noqa: FBT002 a query parameter
        slower_than: Annotated[float | None, Query(ge=0, description="Milliseconds (慢于)")] = None,
        subject: Annotated[UUID | None, Query(description="Ticket, booking, … (工单、预约等)")] = None,
        since: Annotated[Moment | None, Query(description="An hour ago unless told")] = None,
        until: Annotated[Moment | None, Query(description="Now unless told")] = None,
    ) -> None:
        for asked in (district, unit):
            if asked is not None:
                operator.must_cover(asked)
        self.operator = operator
        self.district = operator.district or (units.district(district) if district else ALL)
        self._service = service
        self._operation = operation
        self._unit = unit
        self._error = error
        self._slower_than = slower_than
        self._subject = subject
        self._since = since
        self._until = until

    def select(self, age: timedelta = _HOUR) -> Select[tuple[Trace]]:
        """Select the traces; `age` is how long ago they began at most, unless the caller said."""
        found = select(Trace).where(
            Trace.district == self.district,
            Trace.started_at >= (self._since or datetime.now(UTC) - age),
            Trace.began_at.is_not(None),
        )
        if self._until is not None:
            found = found.where(Trace.started_at < self._until)
        if self._error:
            found = found.where(Trace.errors > 0)
        if self._slower_than is not None:
            found = found.where(Trace.duration > self._slower_than)
        if self._unit is not None:
            found = found.where(Trace.place.between(*units.span(self._unit)))
        if self._subject is not None:
            found = found.where(Trace.trace_id.in_(select(Span.trace_id).where(Span.subject == self._subject)))
        return found.where(self._did())

    def _did(self) -> ColumnElement[bool]:
        if self._operation is None:
            return literal(self._service) == any_(Trace.services) if self._service else true()
        if self._service is not None:
            return literal(f"{self._service} {self._operation}") == any_(Trace.operations)
        one = func.unnest(Trace.operations).column_valued("one")
        return select(one).where(func.substr(one, func.strpos(one, " ") + 1) == self._operation).exists()
