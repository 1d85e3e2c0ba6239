"""ETags: nobody's change is overwritten by one who has not seen it (RFC 9110)."""

from typing import Annotated, Protocol

from fastapi import Depends, Header, Request, Response

from linli.problems import PreconditionFailed, PreconditionRequired
from linli.security import caller_of


class HasVersion(Protocol):
    """A row that counts its changes."""

    version: int


def etag(row: HasVersion) -> str:
    """Give the row's strong entity tag."""
    return f'"{row.version}"'


def set_etag(response: Response, row: HasVersion) -> None:
    """Send the row's ETag with the answer."""
    response.headers["ETag"] = etag(row)


class Match:
    """The `If-Match` header of a change: what the caller believes the row to be."""

    def __init__(self, if_match: str) -> None:
        self._tags = {tag.strip() for tag in if_match.split(",")}

    def check(self, row: HasVersion) -> None:
        """Refuse a change to a row that is not as the caller has seen it.

        Raises:
            PreconditionFailed: 412.
        """
        if "*" not in self._tags and etag(row) not in self._tags:
            raise PreconditionFailed(etag=etag(row))


_Header = Annotated[
    str | None, Header(alias="If-Match", max_length=200, description="The ETag you have read (已读取的 ETag)")
]


# Who is calling is asked first: 401 comes before 428.
async def _if_given(request: Request, if_match: _Header = None) -> Match | None:
    await caller_of(request)
    return None if if_match is None else Match(if_match)


async def _required(request: Request, if_match: _Header = None) -> Match:
    await caller_of(request)
    if if_match is None:
        raise PreconditionRequired
    return Match(if_match)


IfMatch = Annotated[Match, Depends(_required)]
"""For a change: 428 without the header."""
IfMatchIfAny = Annotated[Match | None, Depends(_if_given)]
"""For what may create or change: None without the header."""
