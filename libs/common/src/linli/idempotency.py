"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a POST repeated gives its first answer.

The key, the change and the answer commit in one transaction, so there is never one without the others. Keys belong
to the caller who sent them and end after a day. An error is not remembered: nothing was changed, so try again.

Answers hold what residents said, so they are kept sealed, each bound to its caller and key. To a version that can't
open one, the row reads `503, Retry-After: 1`: its caller comes again, and in an upgrade meets one that can.
"""

import hmac
import json
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, Final, Self, TypeVar, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from linli.crypto import MasterKeys, NotDecryptable
from linli.direct import Database, Direct, Row, fetchrow
from linli.problems import KeyInFlight, KeyReused, Unprocessable
from linli.security import SCHEME, Principal, known, permitted

_CLAIM: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0)) AS free"
_FIND: Final = (
    "SELECT fingerprint, status, headers, body FROM idempotency_key"
    " WHERE district = $1 AND person = $2 AND key = $3 AND expires_at > now()"
)
_RECORD: Final = (
    "INSERT INTO idempotency_key (district, person, key, fingerprint, status, headers, body, expires_at)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, now() + interval '1 day')"
    " ON CONFLICT (district, person, key) DO UPDATE SET fingerprint = excluded.fingerprint, status = excluded.status,"
    " headers = excluded.headers, body = excluded.body, expires_at = excluded.expires_at"
)
_SEALED: Final = (HTTPStatus.SERVICE_UNAVAILABLE.value, ["retry-after", "1"])
_NONCE: Final = 12
_KEPT_HEADERS: Final = ("cache-control", "content-type", "etag", "link", "location")


_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])


class Replay(Exception):  # noqa: N818 it carries an answer, it is no error
    """The answer to this request was given before; it ends the request and is sent again."""

    def __init__(self, response: Response) -> None:
        self.response = response
        super().__init__("replayed")


@dataclass(frozen=True, slots=True)
class _Key:
    """What one master key gives: fingerprints of requests, and the cipher of their answers."""

    secret: bytes
    cipher: AESGCM

    def fingerprint(self, said: bytes) -> bytes:
        """Digest a request; keyed, so that nobody who reads the table can try out what was said."""
        return hmac.digest(self.secret, said, "sha256")


class Safe:
    """Seals kept answers with the first master key, and opens them with any: one may be on its way to be replaced.

    Args:
        master_key: what `LINLI_MASTER_KEY` says.
    """

    def __init__(self, master_key: str) -> None:
        derived = MasterKeys(master_key).derive("idempotency")
        secrets = [part.strip().encode() for part in master_key.split(",")]
        self._keys = [_Key(secret, AESGCM(key)) for secret, key in zip(secrets, derived, strict=True)]

    @property
    def newest(self) -> _Key:
        """The one that seals."""
        return self._keys[0]

    def find(self, fingerprint: bytes, said: bytes) -> _Key | None:
        """Find the key under which this very request was kept; None when it was another request."""
        return next((key for key in self._keys if hmac.compare_digest(key.fingerprint(said), fingerprint)), None)


class Claim:
    """An Idempotency-Key while its request is being worked on."""

    def __init__(self, database: Database, caller: Principal, name: str, key: _Key, said: bytes) -> None:
        self._database = database
        self._key = key
        self._whose = (caller.district, caller.id, name)
        self._fingerprint = key.fingerprint(said)
        self._bound = f"{caller.district}|{caller.id}|{name}".encode()

    @classmethod
    async def of(cls, database: Database, request: Request, caller: Principal, key: str) -> Self:
        """Take the key for this transaction.

        Raises:
            Replay: with the first answer.
            KeyReused: 422, when the key came with another request.
            KeyInFlight: 409, while the first request is not done.
        """
        claimed = await fetchrow(database, _CLAIM, str(caller.id), key)
        if not (claimed and claimed["free"]):
            raise KeyInFlight
        # Who comes with another role sees with other eyes: what he was answered before is no answer to him.
        eyes = f"{sorted(caller.roles)} {caller.unit} {sorted(caller.grids)}"
        request_line = f"{request.method} {request.url.path}?{request.url.query}\n{eyes}\n".encode()
        said = request_line + await request.body()
        safe: Safe = request.app.state.safe
        claim = cls(database, caller, key, safe.newest, said)
        found = await fetchrow(database, _FIND, *claim._whose)
        if found is None:
            return claim
        opener = safe.find(found["fingerprint"], said)
        if opener is None:
            raise KeyReused
        raise Replay(_answer(opener.cipher, claim._bound, found))

    async def record(self, response: Response) -> None:
        """Keep the answer, in the transaction that made the change."""
        headers = [
            part for name in _KEPT_HEADERS if name in response.headers for part in (name, response.headers[name])
        ]
        plain = json.dumps([response.status_code, headers]).encode() + b"\n" + bytes(response.body)
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._key.cipher.encrypt(nonce, plain, self._bound)
        await fetchrow(self._database, _RECORD, *self._whose, self._fingerprint, *_SEALED, sealed)


def _answer(cipher: AESGCM, bound: bytes, found: Row) -> Response:
    """Give a kept answer again.

    Raises:
        NotDecryptable: when the row was altered, or stood under another caller's key.
    """
    status, headers, body = found["status"], found["headers"], found["body"]
    # Versions that did not seal kept answers that were given, and 503 never is one: an error is not remembered.
    if status == _SEALED[0]:
        try:
            plain = cipher.decrypt(body[:_NONCE], body[_NONCE:], bound)
        except InvalidTag:
            raise NotDecryptable("a kept answer was altered or belongs to another key") from None
        facts, _, body = plain.partition(b"\n")
        status, headers = json.loads(facts)
    named = dict(zip(headers[::2], headers[1::2], strict=True))
    return Response(body, status, {**named, "Idempotency-Replayed": "true"})


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


class DirectRoute(IdempotentRoute):
    """A route whose transaction has no session, for a POST that comes by the hundred a second.

    It does by itself what dependencies would do: each of them costs a request as much as reading its body.

    Attributes:
        permission: what the caller needs.
    """

    permission: ClassVar[str]

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler in a transaction that sees what the caller's token covers; `asked` gives both.

        Raises:
            Unauthorized: 401, without a valid token.
            Forbidden: 403, without the permission.
        """
        handler = super().get_route_handler()

        async def run(request: Request) -> Response:
            caller, key = await permitted(request, self.permission), key_of(request)
            async with Direct(request.app.state.sessions, caller.scope) as database:
                if key:
                    await request.body()  # before a connection is taken: however slowly it comes, it holds none
                    request.state.claim = await Claim.of(database, request, caller, key)
                request.state.asked = database, caller
                return await handler(request)

        return run


def asked(request: Request) -> tuple[Direct, Principal]:
    """Give the transaction of a direct route, and who is calling."""
    found: tuple[Direct, Principal] = request.state.asked
    return found


_HEADER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {
        "anyOf": [{"type": "string", "minLength": 1, "maxLength": 255}, {"type": "null"}],
        "description": "Repeat a POST safely: the same key gives the first answer (幂等键)",
        "title": "Idempotency-Key",
    },
    "description": "Repeat a POST safely: the same key gives the first answer (幂等键)",
}
_LONGEST: Final = 255
_WRONG: Final = {
    "in": "header",
    "parameter": "Idempotency-Key",
    "detail": "1 to 255 characters",
    "detail_zh": "应为 1 至 255 个字符",
}


def key_of(request: Request) -> str | None:
    """Give the key that a request came with.

    Raises:
        Unprocessable: 422, for one that is empty or too long.
    """
    key: str | None = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= _LONGEST:
        raise Unprocessable(errors=[_WRONG])
    return key


class Router(APIRouter):
    """A router whose every POST honours `Idempotency-Key`."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 APIRouter's own options
        super().__init__(route_class=IdempotentRoute, **options)

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:  # noqa: ANN401 as above
        """Add a route, with the header documented on POSTs."""
        if "POST" in (options.get("methods") or ()):
            # Written down, not declared: a dependency would cost each request as much as reading its body.
            options["openapi_extra"] = {"parameters": [_HEADER], **(options.get("openapi_extra") or {})}
        super().add_api_route(path, endpoint, **options)

    def post_direct(self, path: str, permission: str, **options: Any) -> Callable[[_Endpoint], _Endpoint]:  # noqa: ANN401 as above
        """Add a direct POST for who has a permission; its endpoint finds transaction and caller by `asked`."""
        route = type(DirectRoute.__name__, (DirectRoute,), {"permission": known(permission)})

        def add(endpoint: _Endpoint) -> _Endpoint:
            extra: dict[str, Any] = {"security": [{SCHEME: []}]}
            self.add_api_route(
                path, endpoint, methods=["POST"], route_class_override=route, openapi_extra=extra, **options
            )
            return endpoint

        return add
