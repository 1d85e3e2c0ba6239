"""Who may ask for tokens: street apps (街道应用) with a secret, and districts' OIDC providers (统一身份认证)."""

import hashlib
import ipaddress
import json
import secrets
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import jwt
from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from directory.models import AppClient, Provider
from directory.operations.lookup import find_unit
from directory.operations.staff import must_outrank, must_seat
from directory.operations.units import lock_active
from directory.problems import ProviderClash, UnusableKeys, WrongKind
from linli import units
from linli.problems import NotFound, UnknownUnit
from linli.security import Principal
from linli.units import Level

_SECRET_BYTES: Final = 32


def digest(secret: str) -> bytes:
    """Hash a client secret; it is random and long, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).digest()


async def register_app(
    session: AsyncSession, principal: Principal, *, unit: int, name: str, roles: Sequence[str]
) -> tuple[AppClient, str]:
    """Register an app; gives its secret too, which is not kept.

    Raises:
        OutsideScope, RoleTooHigh: 403.
        UnknownUnit, WrongKind: 422.
    """
    principal.must_cover(unit)
    must_outrank(principal, roles)
    for role in roles:
        must_seat(role, unit)
    if not await lock_active(session, [unit]):
        raise UnknownUnit(unit=units.short(unit))
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    app = AppClient(
        district=units.district(unit),
        unit=unit,
        name=name,
        secret_sha256=digest(secret),
        roles=sorted(set(roles)),
        active=True,
    )
    session.add(app)
    await session.flush()
    return app, secret


async def rotate_secret(session: AsyncSession, principal: Principal, app: AppClient) -> str:
    """Give an app a new secret; the old one ends at once.

    Raises:
        OutsideScope, RoleTooHigh: 403.
    """
    principal.must_cover(app.unit)
    must_outrank(principal, app.roles)
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    app.secret_sha256 = digest(secret)
    await session.flush()
    return secret


async def disable_app(session: AsyncSession, principal: Principal, app: AppClient) -> AppClient:
    """Stop giving tokens to an app; those it has run out within ten minutes.

    Raises:
        OutsideScope, RoleTooHigh: 403.
    """
    principal.must_cover(app.unit)
    must_outrank(principal, app.roles)
    app.active = False
    await session.flush()
    return app


async def get_provider(session: AsyncSession, unit: int, *, lock: bool = False) -> Provider | None:
    """Find a district's provider, and keep others from changing it if asked.

    Raises:
        NotFound: 404, for a district that is not there.
        WrongKind: 422, for a unit that is no district.
    """
    if units.level(unit) is not Level.DISTRICT:
        raise WrongKind(unit=units.short(unit), kind=units.kind(unit).value, needed="district")
    await find_unit(session, unit)
    return await session.get(Provider, units.district(unit), with_for_update=lock)


async def the_provider(session: AsyncSession, unit: int) -> Provider:
    """Find a district's provider.

    Raises:
        NotFound: 404, for a district that is not there or has none.
    """
    found = await get_provider(session, unit)
    if found is None:
        raise NotFound(kind="provider", id=units.short(unit))
    return found


async def set_provider(session: AsyncSession, unit: int, provider: Provider | None, fields: dict[str, Any]) -> Provider:
    """Say whose word is taken for who somebody is in a district; only who sees all districts may, and finds clashes.

    Raises:
        UnusableKeys: 422.
        ProviderClash: 409.
    """
    _check_keys(fields["jwks"], fields["jwks_uri"])
    same = exists().where(
        Provider.issuer == fields["issuer"],
        Provider.audience == fields["audience"],
        Provider.district != units.district(unit),
    )
    if await session.scalar(select(same)):
        raise ProviderClash
    if provider is None:
        provider = Provider(district=units.district(unit), unit=unit, **fields)
        session.add(provider)
    else:
        for name, value in fields.items():
            setattr(provider, name, value)
    await session.flush()
    return provider


def _check_keys(jwks: dict[str, Any] | None, jwks_uri: str | None) -> None:
    if (jwks is None) == (jwks_uri is None):
        raise UnusableKeys(reason="give either jwks or jwks_uri (jwks 与 jwks_uri 须二选一)")
    if jwks_uri is not None:
        try:
            httpx.URL(jwks_uri)  # what the keys will be fetched by
            address = urlsplit(jwks_uri)
            nowhere = not address.hostname or address.port == 0
        except (httpx.InvalidURL, ValueError) as error:
            raise UnusableKeys(reason="jwks_uri is no address (jwks_uri 不是有效地址)") from error
        local = address.scheme == "http" and _loopback(address.hostname or "")
        if nowhere or not (address.scheme == "https" or local):
            raise UnusableKeys(reason="jwks_uri must be https (jwks_uri 须为 https)")
    if jwks is not None:
        try:
            json.dumps(jwks, ensure_ascii=False, allow_nan=False).encode()  # or the database can't keep it
            keys = jwt.PyJWKSet.from_dict(jwks).keys
        except (jwt.PyJWTError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnusableKeys(reason="jwks is no JWK set of public keys (jwks 不是公钥集)") from error
        if any(key.key_type not in {"RSA", "EC", "OKP"} for key in keys) or any("d" in key for key in jwks["keys"]):
            raise UnusableKeys(reason="only public RSA, EC and OKP keys are taken (仅接受 RSA、EC、OKP 公钥)")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
