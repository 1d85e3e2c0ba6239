"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a POST repeated gives its first answer.

The key, the change and the answer commit in one transaction, so there is never one without the others. Keys belong
to the caller who sent them and end after a day. An error is not remembered: nothing was changed, so try again.
"""

import hashlib
import hmac
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from linli.problems import KeyInFlight, KeyReused
from linli.security import Principal

_CLAIM: Final = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:subject || ' ' || :key, 0))")
_FIND: Final = text(
    "SELECT fingerprint, status, headers, body FROM idempotency_key"
    " WHERE district = :district AND person = :subject AND key = :key AND expires_at > now()"
)
_RECORD: Final = text(
    "INSERT INTO idempotency_key (district, person, key, fingerprint, status, headers, body, expires_at)"
    " VALUES (:district, :subject, :key, :fingerprint, :status, CAST(:headers AS text[]), :body,"
    " now() + interval '1 day')"
    " ON CONFLICT (district, person, key) DO UPDATE SET fingerprint = excluded.fingerprint, status = excluded.status,"
    " headers = excluded.headers, body = excluded.body, expires_at = excluded.expires_at"
)
_KEPT_HEADERS: Final = ("cache-control", "content-type", "etag", "link", "location")


class Replay(Exception):  # noqa: N818 it carries an answer, it is no error
    """The answer to this request was given before; it ends the request and is sent again."""

    def __init__(self, response: Response) -> None:
        self.response = response
        super().__init__("replayed")


class Claim:
    """An Idempotency-Key while its request is being worked on."""

    def __init__(self, session: AsyncSession, caller: Principal, key: str, fingerprint: bytes) -> None:
        self._session = session
        self._row = {"district": caller.district, "subject": caller.id, "key": key, "fingerprint": fingerprint}

    @classmethod
    async def of(cls, session: AsyncSession, request: Request, caller: Principal, key: str) -> "Claim":
        """Take the key for this transaction.

        Raises:
            Replay: with the first answer.
            KeyReused: 422, when the key came with another request.
            KeyInFlight: 409, while the first request is not done.
        """
        if not await session.scalar(_CLAIM, {"subject": str(caller.id), "key": key}):
            raise KeyInFlight
        # Who comes with another role sees with other eyes: what he was answered before is no answer to him.
        eyes = f"{sorted(caller.roles)} {caller.unit} {sorted(caller.grids)}"
        # Keyed, so that nobody who reads the table can try out what was said.
        secret = request.app.state.settings.master_key.get_secret_value().encode()
        request_line = f"{request.method} {request.url.path}?{request.url.query}\n{eyes}\n".encode()
        digest = hmac.new(secret, request_line + await request.body(), hashlib.sha256)
        claim = cls(session, caller, key, digest.digest())
        found = (await session.execute(_FIND, claim._row)).one_or_none()
        if found is None:
            return claim
        if found.fingerprint != digest.digest():
            raise KeyReused
        headers = dict(zip(found.headers[::2], found.headers[1::2], strict=True))
        raise Replay(Response(found.body, found.status, {**headers, "Idempotency-Replayed": "true"}))

    async def record(self, response: Response) -> None:
        """Keep the answer, in the transaction that made the change."""
        headers = [
            part for name in _KEPT_HEADERS if name in response.headers for part in (name, response.headers[name])
        ]
        row = {**self._row, "status": response.status_code, "headers": headers, "body": bytes(response.body)}
        await self._session.execute(_RECORD, row)


class IdempotentRoute(APIRoute):
    """A route that records its answer under the request's Idempotency-Key before the transaction commits."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler; the transaction is still open when it returns."""
        handler = super().get_route_handler()

        async def run(request: Request) -> Response:
            response = await handler(request)
            claim = cast("Claim | None", getattr(request.state, "claim", None))
            if claim is not None:
                await claim.record(response)
            return response

        return run


# A dependency that is no coroutine would cost a thread.
async def _documented(
    _: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=255,
            description="Repeat a POST safely: the same key gives the first answer (幂等键)",
        ),
    ] = None,
) -> None:
    """Put the header into the OpenAPI document, and bound its length."""


class Router(APIRouter):
    """A router whose every POST honours `Idempotency-Key`."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 APIRouter's own options
        super().__init__(route_class=IdempotentRoute, **options)

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:  # noqa: ANN401 as above
        """Add a route, with the header documented on POSTs."""
        if "POST" in (options.get("methods") or ()):
            options["dependencies"] = [*(options.get("dependencies") or ()), Depends(_documented)]
        super().add_api_route(path, endpoint, **options)
