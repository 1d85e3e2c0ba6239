"""Keys that sign access tokens (签名密钥), and how they follow one another without anybody noticing.

There is no state to keep: key n signs from its `active_from` until that of key n+1. A new key is published at once
and signs only when every verifier that keeps the JWKS for its `max-age` must have seen it; an old one stays published
until the last token it signed has run out.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from directory.models import SigningKey
from directory.problems import RotationUnderWay
from linli.crypto import MasterKeys
from linli.db import Scope, Sessions, transaction
from linli.models import uuid7

TOKEN_LIFE: Final = timedelta(minutes=10)
JWKS_MAX_AGE: Final = timedelta(minutes=5)
_REMEMBERED: Final = timedelta(seconds=30)
"""How long a replica goes on with the key it knows."""
_SLACK: Final = timedelta(minutes=1)
"""For clocks that differ, and for what a replica remembers."""


@dataclass(frozen=True, slots=True)
class Signer:
    """The key that signs now."""

    kid: str
    private: ec.EllipticCurvePrivateKey


def signing(keys: Sequence[SigningKey], now: datetime) -> SigningKey:
    """Give the key that signs: the latest that has become active; the very first is from the beginning."""
    first, *others = keys
    return max((key for key in others if key.active_from <= now), key=lambda key: key.number, default=first)


def published(keys: Sequence[SigningKey], now: datetime) -> list[SigningKey]:
    """Give the keys that verifiers need: those that sign now or later, and those whose tokens still run."""
    ends = {key.number - 1: key.active_from for key in keys}
    return [key for key in keys if key.number not in ends or ends[key.number] + TOKEN_LIFE + _SLACK > now]


class SigningKeys:
    """Gives the signer and the published keys, from the database that all replicas share.

    Args:
        master: wraps the private keys.
    """

    def __init__(self, master: MasterKeys) -> None:
        self._master = master
        self._known: tuple[float, Signer] | None = None

    async def signer(self, sessions: Sessions) -> Signer:
        """Give the key that signs now."""
        if self._known is None or self._known[0] <= time.monotonic():
            keys, now = await self._read(sessions)
            key = signing(keys, now)
            private = load_der_private_key(self._master.unwrap(0, key.number, key.private), password=None)
            assert isinstance(private, ec.EllipticCurvePrivateKey)  # noqa: S101 we make no others
            self._known = (time.monotonic() + _REMEMBERED.total_seconds(), Signer(key.kid, private))
        return self._known[1]

    async def jwks(self, sessions: Sessions) -> dict[str, Any]:
        """Give the JWK set to publish; always read afresh, so that its max-age counts from the truth."""
        keys, now = await self._read(sessions)
        return {"keys": [key.public for key in published(keys, now)]}

    async def rotate(self, session: AsyncSession) -> SigningKey:
        """Publish a new key, and forget those that are no longer needed.

        Raises:
            RotationUnderWay: 409, while the last new key is not active yet.
        """
        keys, now = await _all(session)
        if keys and keys[-1].active_from > now:
            raise RotationUnderWay(active_from=keys[-1].active_from.isoformat())
        kept = {key.number for key in published(keys, now)}
        await session.execute(delete(SigningKey).where(SigningKey.number.not_in(kept)))
        number = keys[-1].number + 1 if keys else 1
        active_from = now + JWKS_MAX_AGE + _SLACK if keys else now
        if not await self._insert(session, number, active_from):
            raise RotationUnderWay(active_from=active_from.isoformat())
        return (await session.scalars(select(SigningKey).where(SigningKey.number == number))).one()

    async def _read(self, sessions: Sessions) -> tuple[Sequence[SigningKey], datetime]:
        async with transaction(sessions, Scope.issuer()) as session:
            keys, now = await _all(session)
            if not keys:
                await self._insert(session, 1, now)
                keys, now = await _all(session)
            return keys, now

    async def _insert(self, session: AsyncSession, number: int, active_from: datetime) -> bool:
        """Add a key unless another replica was quicker; the primary key decides."""
        private = ec.generate_private_key(ec.SECP256R1())
        kid = uuid7().hex
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(private.public_key()))
        row = {
            "district": 0,
            "number": number,
            "unit": 0,
            "kid": kid,
            "public": {**public, "kid": kid, "alg": "ES256", "use": "sig"},
            "private": self._master.wrap(
                0, number, private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
            ),
            "active_from": active_from,
        }
        done = insert(SigningKey).values(row).on_conflict_do_nothing().returning(SigningKey.number)
        return await session.scalar(done) is not None


async def _all(session: AsyncSession) -> tuple[Sequence[SigningKey], datetime]:
    now = (await session.scalars(select(func.now()))).one()
    return (await session.scalars(select(SigningKey).order_by(SigningKey.number))).all(), now
