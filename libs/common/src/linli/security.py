"""Who is calling and what they may do: tokens verified offline, roles with their permissions in one table."""

import asyncio
import logging
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final
from uuid import UUID

import httpx
import jwt
from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from opentelemetry import trace

from linli import spans, telemetry, units
from linli.db import Scope
from linli.problems import Forbidden, OutsideScope, Unauthorized, Unavailable

_log = logging.getLogger(__name__)

_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_PUBLIC: Final = {
    "units.read",
    "tickets.open",
    "tickets.read",
    "tickets.rate",
    "tickets.close",
    "files.write",
    "points.read",
} | {
    "centres.read",
    "bookings.write",
    "inbox.read",
    "errands.read",
    "lists.read",
    "wishes.read",
    "wishes.write",
}
_GRID: Final = _PUBLIC | {
    "tickets.resolve",
    "residents.read",
    "residents.write",
    "residents.reveal",
    "staff.read",
    "departments.read",
    "cases.work",
    "errands.write",
    "wishes.name",
}
_COMMUNITY: Final = _GRID | {
    "tickets.assign",
    "figures.read",
    "cases.write",
    "lists.write",
    "resources.write",
    "places.write",
    "staff.write",
    "centres.write",
    "bookings.read",
}
_STREET: Final = _COMMUNITY | {"units.write", "points.rules", "audit.read", "cases.teams"}
# A district watches what happens in it; dead letters, and who was told what, are the platform's operators' to see.
_DISTRICT: Final = _STREET | {
    "apps.write",
    "providers.write",
    "traces.read",
    "departments.write",
    "open311.write",
    "categories.write",
    "calendar.write",
}

PERMISSIONS: Final[dict[str, frozenset[str]]] = {
    "resident": frozenset(_PUBLIC | {"wishes.claim"}),
    # Partner organisations act through volunteers; a mediator may be one.
    "volunteer": frozenset(_PUBLIC | {"wishes.claim", "resources.write", "cases.work"}),
    "grid_worker": frozenset(_GRID),
    "department_staff": frozenset(
        {"units.read", "tickets.read", "tickets.resolve", "files.write", "inbox.read", "points.read"}
        | {"departments.read", "whistles.answer", "cases.work"}
    ),
    "community_manager": frozenset(_COMMUNITY),
    "street_admin": frozenset(_STREET),
    "district_admin": frozenset(_DISTRICT),
    # What it has reported an app goes on with as every reporter does, but for praise and blame, which people give.
    "app": frozenset(
        {"units.read", "tickets.open", "tickets.read", "tickets.close", "files.write", "centres.read", "inbox.read"}
    ),
    # An operator keeps the platform running and sees no resident's data.
    "operator": frozenset(
        {
            "units.read",
            "units.write",
            "units.adopt",
            "staff.write",
            "staff.read",
            "apps.write",
            "providers.write",
        }
        | {"keys.rotate", "events.read", "events.replay", "traces.read", "inbox.read"}
    ),
}
"""What each role may do."""

_SEES_RANGE: Final = frozenset(
    {"department_staff", "community_manager", "street_admin", "district_admin", "operator", "app"}
)


@dataclass(frozen=True)
class Principal:
    """Who is calling: a person or an app, with roles and the part of the tree they cover."""

    id: UUID
    client: str
    roles: frozenset[str]
    unit: int
    grids: tuple[int, ...]

    @cached_property
    def permissions(self) -> frozenset[str]:
        """What the roles allow together."""
        return frozenset().union(*(PERMISSIONS.get(role, frozenset()) for role in self.roles))

    @property
    def district(self) -> int:
        """The tenant; 0 for the platform's own operators."""
        return units.district(self.unit)

    @cached_property
    def scope(self) -> Scope:
        """What a transaction in this caller's name may see."""
        if ranged := self.roles & _SEES_RANGE:
            narrowed = frozenset() if "tickets.assign" in self.permissions else ranged  # who manages it sees all of it
            return Scope.of_unit(self.unit, self.id, called="department_staff" in narrowed, app="app" in narrowed)
        if "grid_worker" in self.roles:
            return Scope.of_grids(self.grids, self.district, self.id)
        return self.own

    @property
    def own(self) -> Scope:
        """What is this person's own, whatever the role."""
        return Scope.of_person(self.id, self.district)

    def covers(self, unit: int) -> bool:
        """Tell whether a unit lies in what the caller may see; residents reach their whole district."""
        if self.scope.role == "linli_worker":
            return units.grid(unit) in self.grids
        return self.scope.lo <= unit <= self.scope.hi

    def must_cover(self, unit: int) -> None:
        """Refuse a unit outside of the caller's scope.

        Raises:
            OutsideScope: 403.
        """
        if not self.covers(unit):
            raise OutsideScope(unit=units.short(unit))


class Tokens:
    """Verifies access tokens against the directory's published keys, without asking it for each.

    Keys are asked for again after five minutes, so that one withdrawn is no longer believed, and for an unknown key id,
    at most once in two seconds; they are kept while the directory is away. Verified tokens are remembered until they
    expire, 10,000 at most.
    """

    _PAUSE: Final = 2.0
    _FRESH: Final = 300.0
    _PATIENCE: Final = 3.0
    _REMEMBERED: Final = 10_000

    def __init__(self, jwks_url: str, issuer: str, audience: str) -> None:
        self._url = jwks_url
        self._issuer = issuer
        self._audience = audience
        self._keys: dict[str, jwt.PyJWK] = {}
        self._asked = float("-inf")
        self._read = float("-inf")
        self._asking = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None
        self._verified: OrderedDict[str, tuple[float, Principal]] = OrderedDict()

    async def ready(self) -> bool:
        """Tell whether there are keys to verify with, fetching them if there are none."""
        if not self._keys:
            await self._fetch()
        return bool(self._keys)

    async def verify(self, token: str) -> Principal:
        """Read a token.

        Raises:
            Unauthorized: 401, for a token that is broken, expired, for somebody else or not from the directory.
            Unavailable: 503, when there are no keys yet because the directory has not been reached.
        """
        known = self._verified.get(token)
        if known and known[0] > time.time():
            return known[1]
        try:
            header = jwt.get_unverified_header(token)
            if str(header.get("typ")).lower() != "at+jwt":  # Another kind of token, if the directory ever signs one.
                raise Unauthorized(reason="it is no access token (不是访问令牌)")
            key = await self._key(str(header.get("kid")))
            claims = jwt.decode(
                token,
                key,
                algorithms=["ES256"],
                audience=self._audience,
                issuer=self._issuer,
                leeway=5,
                options={"require": ["exp", "iat", "sub", "jti"]},
            )
            principal = _principal(claims)
        except jwt.ExpiredSignatureError as error:
            raise Unauthorized(reason="the token has expired (令牌已过期)") from error
        except (jwt.PyJWTError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unauthorized(reason="the token is not valid (令牌无效)") from error
        self._verified[token] = (float(claims["exp"]), principal)
        while len(self._verified) > self._REMEMBERED:
            self._verified.popitem(last=False)
        return principal

    async def _key(self, key_id: str) -> jwt.PyJWK:
        if key_id not in self._keys:
            await self._fetch()
        elif time.monotonic() - self._read > self._FRESH and not self._asking.locked():
            # Nobody waits for it: the keys at hand are good enough meanwhile.
            self._refreshing = asyncio.create_task(self._fetch())
        if not self._keys:
            raise Unavailable
        return self._keys[key_id]

    async def _fetch(self) -> None:
        async with self._asking:
            if time.monotonic() - self._asked < self._PAUSE:
                return
            try:
                async with asyncio.timeout(self._PATIENCE), httpx.AsyncClient() as client:
                    found = jwt.PyJWKSet.from_dict((await client.get(self._url)).raise_for_status().json())
                self._keys = {str(key.key_id): key for key in found.keys}
                self._read = time.monotonic()
            except (httpx.HTTPError, TimeoutError, ValueError, AttributeError, jwt.PyJWTError) as error:
                _log.warning("no keys from %s: %s", self._url, type(error).__name__)
            finally:
                # From the end on, so that those who waited meanwhile don't ask one after the other.
                self._asked = time.monotonic()


def _principal(claims: dict[str, Any]) -> Principal:
    return Principal(
        id=UUID(claims["sub"]),
        client=str(claims["client_id"]),
        roles=frozenset(map(str, claims["roles"])),
        unit=units.parse(claims["unit"]),
        grids=tuple(units.parse(grid) for grid in claims.get("grids", [])),
    )


SCHEME: Final = "HTTPBearer"
"""What OpenAPI documents call the way in which a token comes."""
_CALLER: Final = "linli.caller"
"""Where a request keeps who is calling."""


async def caller_of(request: Request) -> Principal:
    """Tell who is calling.

    Raises:
        Unauthorized: 401, without a valid Bearer token.
    """
    found: Principal | None = request.scope.get(_CALLER)
    if found is None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized(reason="there is none (缺少令牌)")
        tokens: Tokens = request.app.state.tokens
        found = request.scope[_CALLER] = await tokens.verify(token.strip())
        trace.get_current_span().set_attribute(spans.DISTRICT, found.district)
        telemetry.about(unit=found.unit, subject=_subject(request))
    return found


def _subject(request: Request) -> str | None:
    """Give the last id in the address: of /sessions/{session}/bookings/{booking} the booking's."""
    return next((value for value in reversed(request.path_params.values()) if _ID.fullmatch(str(value))), None)


async def permitted(request: Request, permission: str) -> Principal:
    """Tell who is calling, if a role of theirs has the permission.

    Raises:
        Unauthorized: 401, without a valid token.
        Forbidden: 403, without the permission.
    """
    caller = await caller_of(request)
    if permission not in caller.permissions:
        raise Forbidden(permission=permission)
    return caller


def known(permission: str) -> str:
    """Give a permission that some role has.

    Raises:
        LookupError: when none has it, so that nobody could ever do what needs it.
    """
    if not any(permission in permissions for permissions in PERMISSIONS.values()):
        raise LookupError(f"no role has the permission {permission!r}: add it to PERMISSIONS")
    return permission


class _Access(HTTPBearer):
    """The security scheme and what it gives in one: each dependency of a dependency costs as much as itself."""

    def __init__(self, permission: str | None = None) -> None:
        super().__init__(scheme_name=SCHEME, bearerFormat="JWT", description="Access token from /directory/oauth/token")
        self._permission = permission

    async def __call__(self, request: Request) -> Principal:  # type: ignore[override]  # who it is, not what he says
        return await (caller_of(request) if self._permission is None else permitted(request, self._permission))


Caller = Annotated[Principal, Depends(_Access())]


def require(permission: str) -> Any:  # noqa: ANN401 FastAPI's Depends is typed so
    """Make a dependency that gives the caller, as `permitted` does.

    Raises:
        LookupError: when no role has the permission.
    """
    return Depends(_Access(known(permission)))
