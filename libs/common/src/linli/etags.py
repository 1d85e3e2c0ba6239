"""ETags: nobody's change is overwritten by one who has not seen it (RFC 9110)."""

from typing import Annotated, Protocol

from fastapi import Depends, Header, Response

from linli.problems import PreconditionFailed, PreconditionRequired


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

    def __init__(
        self,
        if_match: Annotated[
            str | None, Header(max_length=200, description="The ETag you have read (已读取的 ETag)")
        ] = None,
    ) -> None:
        if if_match is None:
            raise PreconditionRequired
        self._tags = {tag.strip() for tag in if_match.split(",")}

    def check(self, row: HasVersion) -> None:
        """Refuse a change to a row that is not as the caller has seen it.

        Raises:
            PreconditionFailed: 412.
        """
        if "*" not in self._tags and etag(row) not in self._tags:
            raise PreconditionFailed(etag=etag(row))


IfMatch = Annotated[Match, Depends(Match)]
