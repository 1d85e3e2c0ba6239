"""The shelf's table, routes and composition root."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Final, cast
from uuid import UUID

from fastapi import FastAPI, Request, Response
from sqlalchemy import Text as TextType
from sqlalchemy import select, text
from sqlalchemy.orm import Mapped, mapped_column

from linli import units
from linli.driver import Driver
from linli.etags import IfMatch, set_etag
from linli.idempotency import asked
from linli.models import Base, Placed, Versioned
from linli.paging import Paging, grids_of
from linli.problems import NotFound
from linli.schemas import In, Out, Paged
from linli.security import Principal, require
from linli.service import Router, Transaction, service
from linli.settings import Settings
from linli.units import UnitCode

router = Router(prefix="/shelf/v1", tags=["shelf"])
Writer = Annotated[Principal, require("tickets.open")]


class Book(Placed, Versioned, Base):
    """A book."""

    __tablename__ = "book"
    title: Mapped[str] = mapped_column(TextType)
    number: Mapped[int]
    added_at: Mapped[datetime]
    owner: Mapped[UUID]


class BookIn(In):
    """A book to be put on the shelf; nothing is bounded, so that the database must refuse."""

    unit: UnitCode
    title: str = "红楼梦"
    number: int


class BookOut(Out):
    """A book."""

    id: UUID
    unit: UnitCode
    title: str
    number: int
    version: int


@router.post("/books", status_code=201)
async def add_book(body: BookIn, session: Transaction, caller: Writer, response: Response) -> BookOut:
    """Put a book on the shelf."""
    book = Book(
        district=units.district(body.unit),
        unit=body.unit,
        title=body.title,
        number=body.number,
        added_at=datetime.now(UTC),
        owner=caller.id,
    )
    session.add(book)
    await session.flush()
    set_etag(response, book)
    return BookOut.model_validate(book)


@router.get("/books", dependencies=[require("tickets.read")])
async def list_books(  # noqa: PLR0917 what a request carries
    session: Transaction,
    page: Paging,
    request: Request,
    response: Response,
    title: str = "",
    number: int = 0,
) -> Paged[BookOut]:
    """List books, newest first."""
    query = select(Book).where(Book.title == title) if title else select(Book)
    query = query.where(Book.number == number) if number else query
    key, ways = (Book.added_at.desc(), Book.id.desc()), grids_of(session, Book.unit_grid)
    rows, following = await page.of(session, query, key=key, ways=ways, request=request, response=response)
    return Paged(items=[BookOut.model_validate(row) for row in rows], next=following)


@router.get("/titles", dependencies=[require("tickets.read")])
async def list_titles(session: Transaction, page: Paging, request: Request, response: Response) -> Paged[BookOut]:
    """List books by title and number."""
    key, ways = (Book.title, Book.number), grids_of(session, Book.unit_grid)
    rows, following = await page.of(session, select(Book), key=key, ways=ways, request=request, response=response)
    return Paged(items=[BookOut.model_validate(row) for row in rows], next=following)


@router.patch("/books/{book_id}")
async def rename_book(
    book_id: UUID, body: BookIn, match: IfMatch, session: Transaction, _: Writer, response: Response
) -> BookOut:
    """Give a book another title."""
    book = await session.scalar(select(Book).where(Book.id == book_id))
    if book is None:
        raise NotFound(kind="book", id=str(book_id))
    match.check(book)
    await asyncio.sleep(0)
    book.title = body.title
    await session.flush()
    set_etag(response, book)
    return BookOut.model_validate(book)


@router.post("/sleep")
async def sleep(session: Transaction, _: Writer, seconds: float = 0) -> None:
    """Be slow, in the database."""
    await session.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})


@router.post("/break")
async def break_down(request: Request, session: Transaction, _: Writer) -> None:
    """Fail in a way that nobody has foreseen, in words that quote the caller."""
    await session.execute(text("SELECT 1"))
    int((await request.body()).decode())


LAST_WORDS: Final = b"SFATAL\0VFATAL\0C57P01\0Mthe server goes down\0\0"


def hear_last_words(driver: Driver) -> None:
    """Hear that the server goes down, while nothing was asked of it: mostly its connection is closed by then."""
    driver._protocol.data_received(b"E" + (4 + len(LAST_WORDS)).to_bytes(4) + LAST_WORDS)


@router.post("/outlive")
async def outlive(session: Transaction, _: Writer) -> None:
    """Be in the middle of a transaction when the server goes down."""
    await session.execute(text("SELECT 1"))
    pooled = await (await session.connection()).get_raw_connection()
    hear_last_words(cast("Driver", pooled.driver_connection))


@router.post_direct("/outlive-direct", "tickets.open")
async def outlive_directly(request: Request) -> None:
    """Be in the middle of a direct transaction then."""
    direct, _ = asked(request)
    await direct.fetch("SELECT 1")
    hear_last_words(direct._driver)


@router.post("/sql")
async def run_sql(request: Request, session: Transaction, _: Writer) -> None:
    """Run whatever the test wants to go wrong."""
    await session.execute(text((await request.body()).decode()))


def create_app(settings: Settings) -> FastAPI:
    """Build the service."""
    return service("shelf", settings, routers=[router])
