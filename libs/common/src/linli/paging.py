"""Lists in pages by key: no row is skipped or repeated when others come and go."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from sqlalchemy import ColumnElement, Executable, Select, UnaryExpression, literal, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import QueryableAttribute
from sqlalchemy.sql.operators import desc_op

from linli.problems import BadRequest

LIMIT = 200
_Key: TypeAlias = Sequence[ColumnElement[Any] | QueryableAttribute[Any]]
_HALF = 2**63


def _decode(kind: type, value: object) -> object:
    """Read a key's value back; what the database could not even compare with is an error here."""
    if kind is datetime:
        return datetime.fromisoformat(str(value)).astimezone(UTC)
    if kind is UUID:
        return UUID(str(value))
    if kind is bytes:
        return bytes.fromhex(str(value))
    if type(value) is not kind or (isinstance(value, int) and not -_HALF <= value < _HALF):
        raise TypeError
    if isinstance(value, str) and "\0" in value.encode().decode():
        raise ValueError
    return value


@dataclass(frozen=True, slots=True)
class Way:
    """One of the ways in which a caller comes to see rows of a list, that an index has in the list's order.

    Attributes:
        where: which rows he sees in this way; it may join another table to the list's.
        key: what to order by, where it is that other table which has the order: equal to the list's key, and as that
            ascending or descending. It may have a row of the list several times.
    """

    where: ColumnElement[bool]
    key: _Key = ()

    def of(self, statement: Select[Any]) -> Select[Any]:
        """Select what of a list is seen in this way, each row once."""
        seen = statement.where(self.where)
        return seen.distinct(*map(_column, self.key)) if self.key else seen


def grids_of(session: AsyncSession, grid: QueryableAttribute[int]) -> list[Way]:
    """Give the ways in which a grid worker sees what lies in his grids, by the column that tells in which; or none."""
    return [Way(grid == one) for one in session.info["scope"].grids]


class Page:
    """Where a page begins and how long it is."""

    def __init__(self, limit: int, cursor: str | None) -> None:
        self.limit = limit
        self.cursor = cursor

    async def of(  # noqa: PLR0913 what a list is
        self,
        session: AsyncSession | Sequence[AsyncSession],
        statement: Select[Any],
        *,
        key: _Key,
        request: Request,
        response: Response,
        ways: Sequence[Way] = (),
    ) -> tuple[Sequence[Any], str | None]:
        """Fetch one page.

        Args:
            session: an open transaction, or one for each database server that has some of the rows.
            statement: selects one entity or column, without order.
            key: what to order by, ending with something unique; all ascending or all `.desc()`.
            request: names the filters, which a cursor is bound to.
            response: gets the `Link` header (RFC 8288) to the next page.
            ways: in which a caller sees rows of the list, if not all that it selects: a page is read from the end of
                each, and not all that he may see sorted for it. What he sees in several is listed once.

        Returns:
            The rows, and the cursor of the next page or None.

        Raises:
            BadRequest: 400, for a cursor that was not given out for this list and these filters.
        """
        names = [_column(part).key for part in key]
        filters = _filters(request)
        after = self._read(self.cursor, filters, [_column(part).type.python_type for part in key])
        if ways:
            pages = [self._beginning(way.of(statement), way.key or key, after) for way in ways]
        else:
            pages = [self._beginning(statement, key, after)]
        page = pages[0] if len(pages) == 1 else _merged(pages, key, self.limit + 1)
        sessions = [session] if isinstance(session, AsyncSession) else session
        rows = [row for one in sessions for row in await one.scalars(page)]
        if len(sessions) > 1:
            rows.sort(key=lambda row: [getattr(row, str(name)) for name in names], reverse=_descending(key))
        if len(rows) <= self.limit:
            return rows, None
        rows = rows[: self.limit]
        last = [getattr(rows[-1], str(name)) for name in names]
        following = _write(filters, last)
        url = request.url.include_query_params(cursor=following, limit=self.limit)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
        return rows, following

    def _beginning(self, statement: Select[Any], key: _Key, after: Sequence[object]) -> Select[Any]:
        """Select a page's rows after the last of the page before, and one more that tells whether others follow."""
        if after:
            columns = [_column(part) for part in key]
            row, last = tuple_(*columns), tuple_(*map(literal, after, [column.type for column in columns]))
            statement = statement.where(row < last if _descending(key) else row > last)
        return statement.order_by(*key).limit(self.limit + 1)

    @staticmethod
    def _read(cursor: str | None, filters: str, kinds: list[type]) -> Sequence[object]:
        """Read the key of the last row of the page before; there is none before the first page."""
        if cursor is None:
            return ()
        try:
            bound_to, *values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            found = [_decode(kind, value) for kind, value in zip(kinds, values, strict=True)]
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise BadRequest(reason="the cursor is not one of ours (游标无效)") from error
        if bound_to != filters:
            raise BadRequest(reason="the cursor belongs to another list or filter (游标与筛选条件不符)")
        return found


def _column(part: ColumnElement[Any] | QueryableAttribute[Any]) -> ColumnElement[Any] | QueryableAttribute[Any]:
    return part.element if isinstance(part, UnaryExpression) else part


def _descending(key: _Key) -> bool:
    return isinstance(key[0], UnaryExpression) and key[0].modifier is desc_op


def _merged(pages: Sequence[Select[Any]], key: _Key, limit: int) -> Executable:
    """Take a page from pages of one entity, each in the order of the key; a row that several have once."""
    entity = pages[0].column_descriptions[0]["entity"]
    together = union_all(*pages).subquery()
    columns = [together.c[str(_column(part).key)] for part in key]
    order = [column.desc() if _descending(key) else column for column in columns]
    return select(entity).from_statement(select(together).distinct(*columns).order_by(*order).limit(limit))


# Asynchronous, though it waits for nothing: FastAPI would hand a class, which is not, to a thread for each request.
async def _page(
    limit: Annotated[int, Query(ge=1, le=LIMIT, description="Rows a page (每页条数)")] = 50,
    cursor: Annotated[
        str | None, Query(max_length=1000, description="`next` of the page before (上一页的 next)")
    ] = None,
) -> Page:
    return Page(limit, cursor)


Paging = Annotated[Page, Depends(_page)]
"""The query parameters `limit` (1-200) and `cursor` of a list."""


def _filters(request: Request) -> str:
    query = sorted(
        (name, value) for name, value in request.query_params.multi_items() if name not in {"cursor", "limit"}
    )
    return hashlib.sha256(repr((request.url.path, query)).encode()).hexdigest()[:12]


def _encode(value: object) -> int | str:
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, int | str) else str(value)


def _write(filters: str, values: list[object]) -> str:
    text = json.dumps([filters, *map(_encode, values)])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
