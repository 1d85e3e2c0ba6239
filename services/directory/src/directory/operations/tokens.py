"""Who gets which token: decided before anybody is known, so with the issuer's way of seeing alone."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import jwt
from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from directory.idtokens import Believed, Claimed
from directory.keys import TOKEN_LIFE, Signer
from directory.models import AppClient, Assignment, Provider
from directory.oauth import (
    Grant,
    OAuthError,
    Seat,
    invalid_client,
    invalid_grant,
    invalid_scope,
)
from directory.operations.clients import digest
from directory.operations.staff import RANK, SEATS, person_of
from linli import units
from linli.units import Kind

_UNKNOWN: Final = bytes(32)


async def authenticate(session: AsyncSession, client_id: UUID, secret: str) -> Row[Any]:
    """Find the app that knows its secret.

    Raises:
        OAuthError: invalid_client.
    """
    query = select(AppClient.district, AppClient.id, AppClient.unit, AppClient.roles, AppClient.secret_sha256)
    app = (await session.execute(query.where(AppClient.id == client_id, AppClient.active))).one_or_none()
    if not hmac.compare_digest(digest(secret), app.secret_sha256 if app else _UNKNOWN) or app is None:
        raise invalid_client(app.district if app else 0)
    return app


def grant_app(app: Row[Any], scope: str | None) -> Grant:
    """Grant an app its roles, or the lesser one it asks for: a lower role, or a unit further down.

    Raises:
        OAuthError: invalid_scope.
    """
    if scope is None:
        seats = tuple(Seat(role, app.unit) for role in app.roles)
        return Grant(app.id, str(app.id), seats, _grids(seats))
    asked = Seat.of(scope)
    highest = max(RANK[role] for role in app.roles)
    if not (
        (asked.role in app.roles or RANK.get(asked.role, highest) < highest)
        and units.kind(asked.unit) in SEATS.get(asked.role, (Kind.DISTRICT,))
        and units.contains(app.unit, asked.unit)
    ):
        raise invalid_scope()
    return Grant(app.id, str(app.id), (asked,), _grids((asked,)))


def _grids(seats: Iterable[Seat]) -> tuple[int, ...]:
    return tuple(sorted({units.grid(seat.unit) for seat in seats if seat.role == "grid_worker"}))


async def provider_of(session: AsyncSession, claimed: Claimed) -> Row[Any]:
    """Find the provider that a token says it comes from.

    Raises:
        OAuthError: invalid_grant.
    """
    query = select(Provider.district, Provider.issuer, Provider.audience, Provider.jwks, Provider.jwks_uri)
    found = await session.execute(
        query.where(Provider.issuer == claimed.issuer, Provider.audience.in_(claimed.audiences)).limit(2)
    )
    providers = found.all()
    if len(providers) != 1:
        raise invalid_grant("no district takes tokens of this issuer and audience")
    return providers[0]


async def grant_person(
    session: AsyncSession, provider: Row[Any], believed: Believed, app: Row[Any] | None, scope: str | None
) -> Grant:
    """Grant a person one of the roles he has; everybody is a resident, also who was never seen before.

    Args:
        session: an open transaction.
        provider: whose word we take.
        believed: what it says.
        app: through which app the person comes, if it has told who it is.
        scope: which of several roles; the highest without it.

    Raises:
        OAuthError: invalid_scope, invalid_grant for a token that was exchanged before.
    """
    if app is not None and app.district not in {units.PLATFORM, provider.district}:
        raise OAuthError("unauthorized_client", "the client belongs to another district than the person")
    if believed.jti is not None:
        await _spend(session, provider, believed.jti, believed.expires_at)
    person = await person_of(session, provider.district, provider.issuer, believed.subject)
    held = await session.execute(
        select(Assignment.role, Assignment.unit).where(
            Assignment.district == provider.district, Assignment.staff == person, Assignment.ended_at.is_(None)
        )
    )
    seats = {Seat("resident", provider.district * 10**12), *(Seat(row.role, row.unit) for row in held)}
    seat = max(seats, key=lambda seat: (RANK[seat.role], -seat.unit)) if scope is None else Seat.of(scope)
    if seat not in seats:
        raise invalid_scope()
    grids = _grids(seats) if seat.role == "grid_worker" else ()
    return Grant(person, str(app.id) if app else provider.audience, (seat,), grids)


_FORGET: Final = text("DELETE FROM spent_token WHERE expires_at < now()")
_SPEND: Final = text(
    "INSERT INTO spent_token (district, issuer, jti_sha256, expires_at)"
    " VALUES (:district, :issuer, :jti, :expires_at) ON CONFLICT DO NOTHING RETURNING district"
)


async def _spend(session: AsyncSession, provider: Row[Any], jti: str, expires_at: float) -> None:
    await session.execute(_FORGET)
    row = {
        "district": provider.district,
        "issuer": provider.issuer,
        "jti": hashlib.sha256(jti.encode()).digest(),
        "expires_at": datetime.fromtimestamp(expires_at, UTC),
    }
    if await session.scalar(_SPEND, row) is None:
        raise invalid_grant("the subject token was exchanged before")


def access_token(signer: Signer, grant: Grant, *, issuer: str, audience: str) -> str:
    """Write and sign an access token (RFC 9068)."""
    now = int(time.time())
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": str(grant.subject),
        "client_id": grant.client,
        "roles": grant.roles,
        "unit": units.short(grant.unit),
        "grids": [units.short(grid) for grid in grant.grids],
        "iat": now,
        "nbf": now,
        "exp": now + int(TOKEN_LIFE.total_seconds()),
        "jti": secrets.token_urlsafe(16),
    }
    return jwt.encode(claims, signer.private, "ES256", {"kid": signer.kid, "typ": "at+jwt"})
