"""Lists in pages by key: no row is skipped or repeated when others come and go."""

import base64
import hashlib
import json
from collections.abc import Sequence
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
        grid: QueryableAttribute[int] | None = None,
    ) -> tuple[Sequence[Any], str | None]:
        """Fetch one page.

        Args:
            session: an open transaction, or one for each database server that has some of the rows.
            statement: selects one entity or column, without order.
            key: what to order by, ending with something unique; all ascending or all `.desc()`.
            request: names the filters, which a cursor is bound to.
            response: gets the `Link` header (RFC 8288) to the next page.
            grid: the column by which grid workers see an entity, where an index has it before the key: then their page
                is read from its end, and not all of their grids sorted for it.

        Returns:
            The rows, and the cursor of the next page or None.

        Raises:
            BadRequest: 400, for a cursor that was not given out for this list and these filters.
        """
        descending = isinstance(key[0], UnaryExpression) and key[0].modifier is desc_op
        columns = [part.element if isinstance(part, UnaryExpression) else part for part in key]
        names = [column.key for column in columns]
        filters = _filters(request)
        if self.cursor is not None:
            types = [column.type for column in columns]
            values = self._read(self.cursor, filters, [type_.python_type for type_ in types])
            after = tuple_(*map(literal, values, types))
            row = tuple_(*columns)
            statement = statement.where(row < after if descending else row > after)
        sessions = [session] if isinstance(session, AsyncSession) else session
        page: Executable = statement.order_by(*key).limit(self.limit + 1)
        if grid is not None and (grids := sessions[0].info["scope"].grids):
            pages = [statement.where(grid == one).order_by(*key).limit(self.limit + 1) for one in grids]
            page = pages[0] if len(pages) == 1 else _merged(pages, grid, key=key, limit=self.limit + 1)
        rows = [row for one in sessions for row in await one.scalars(page)]
        if len(sessions) > 1:
            rows.sort(key=lambda row: [getattr(row, str(name)) for name in names], reverse=descending)
        if len(rows) <= self.limit:
            return rows, None
        rows = rows[: self.limit]
        last = [getattr(rows[-1], str(name)) for name in names]
        following = _write(filters, last)
        url = request.url.include_query_params(cursor=following, limit=self.limit)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
        return rows, following

    @staticmethod
    def _read(cursor: str, filters: str, kinds: list[type]) -> list[object]:
        try:
            bound_to, *values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            found = [_decode(kind, value) for kind, value in zip(kinds, values, strict=True)]
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise BadRequest(reason="the cursor is not one of ours (游标无效)") from error
        if bound_to != filters:
            raise BadRequest(reason="the cursor belongs to another list or filter (游标与筛选条件不符)")
        return found


def _merged(pages: Sequence[Select[Any]], of: QueryableAttribute[Any], *, key: _Key, limit: int) -> Executable:
    """Take a page from pages of the entity that an attribute belongs to, each in the order of the key."""
    together = union_all(*pages)
    order = [
        together.selected_columns[str(part.element.key)].desc()
        if isinstance(part, UnaryExpression)
        else together.selected_columns[str(part.key)]
        for part in key
    ]
    return select(of.class_).from_statement(together.order_by(*order).limit(limit))


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
