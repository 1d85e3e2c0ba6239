"""ID tokens of districts' OIDC providers: read, and believed only after every check."""

import asyncio
import json
import time
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from typing import Any, Final

import httpx
import jwt

from directory.oauth import OAuthError, invalid_grant

ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Asymmetric ones only: with HS256 whoever knows the public key could sign, with none anybody."""
_LEEWAY: Final = 30
_LONGEST: Final = 24 * 3600
"""Seconds an ID token may still run; what was exchanged is remembered that long."""
_MAX_NAME: Final = 255
_MAX_AUDIENCES: Final = 10


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a token says before it is believed: enough to find out whose key to check it with."""

    token: str
    algorithm: str
    kid: str | None
    issuer: str
    audiences: frozenset[str]

    @classmethod
    def of(cls, token: str) -> "Claimed":
        """Read a token without believing it.

        Raises:
            OAuthError: invalid_grant, when it can't be read or is signed in a way we don't take.
        """
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise invalid_grant("the subject token is not a JWT") from error
        algorithm: Any = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise invalid_grant("the subject token must be signed with an asymmetric algorithm")
        issuer: Any = claims.get("iss")
        audience: Any = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if len(audiences) > _MAX_AUDIENCES or not all(map(_usable, [issuer, *audiences])):
            raise invalid_grant("the subject token names no usable issuer and audience")
        return cls(token, algorithm, header.get("kid"), issuer, frozenset(audiences))


@dataclass(frozen=True, slots=True)
class Believed:
    """What a checked token says."""

    subject: str
    jti: str | None
    expires_at: float


def verify(claimed: Claimed, key: jwt.PyJWK, *, issuer: str, audience: str) -> Believed:
    """Check a token's signature, times, issuer and audience.

    Raises:
        OAuthError: invalid_grant.
    """
    try:
        claims = jwt.decode(
            claimed.token,
            key.key,
            algorithms=[claimed.algorithm],
            audience=audience,
            issuer=issuer,
            leeway=_LEEWAY,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )
    except jwt.ExpiredSignatureError as error:
        raise invalid_grant("the subject token has expired") from error
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise invalid_grant("the subject token is not valid") from error
    if len(claimed.audiences) > 1 and claims.get("azp") != audience:
        raise invalid_grant("the subject token was issued to another client")
    expires: Any = claims["exp"]
    if not isinstance(expires, int | float) or expires > time.time() + _LONGEST:
        raise invalid_grant("the subject token runs for more than a day, or does not say how long as a number")
    subject, jti = claims["sub"], claims.get("jti")
    if not _usable(subject) or not (jti is None or _usable(jti)):
        raise invalid_grant("the subject token names no usable subject or has no usable jti")
    return Believed(subject, jti, float(expires) + _LEEWAY)


def _usable(name: object) -> bool:
    """Tell whether the database can hold a name: JSON also knows zero bytes and half characters."""
    return isinstance(name, str) and 0 < len(name) <= _MAX_NAME and name.isprintable()


class ProviderKeys:
    """Providers' public keys: as registered, or fetched from their address and kept for five minutes.

    An unknown key id asks again, at most twice a minute for one address; while a provider is away, what is known
    of it is kept, and who signs in by another does not wait for it.
    """

    _KEPT: Final = 300.0
    _PAUSE: Final = 30.0
    _REMEMBERED: Final = 1_000
    _MAX_BYTES: Final = 256 * 1024
    _PATIENCE: Final = 3.0

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[float, dict[str, Any]]] = OrderedDict()
        self._asked: dict[str, float] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def find(self, claimed: Claimed, jwks: dict[str, Any] | None, jwks_uri: str | None) -> jwt.PyJWK:
        """Find the key that a token says it is signed with.

        Raises:
            OAuthError: invalid_grant when there is no such key, temporarily_unavailable when no keys can be had.
        """
        if jwks is None and jwks_uri is not None:
            jwks = await self._fetched(jwks_uri, claimed.kid)
        keys = [key for key in (jwks or {}).get("keys", []) if claimed.kid is None or key.get("kid") == claimed.kid]
        if len(keys) != 1:
            raise invalid_grant("the provider has no single key of the subject token's key id")
        try:
            return jwt.PyJWK.from_dict(keys[0], algorithm=claimed.algorithm)
        except (jwt.PyJWTError, ValueError, KeyError, TypeError) as error:
            raise invalid_grant("the provider's key does not fit the subject token's algorithm") from error

    async def _fetched(self, uri: str, kid: str | None) -> dict[str, Any]:
        async with self._asking[uri]:
            kept_until, jwks = self._known.get(uri, (0.0, {}))
            now = time.monotonic()
            unknown = kid is not None and all(key.get("kid") != kid for key in jwks.get("keys", []))
            stale = kept_until <= now or unknown or not jwks
            if stale and self._asked.get(uri, float("-inf")) + self._PAUSE <= now:
                self._asked[uri] = now
                jwks = await self._fetch(uri) or jwks
                self._known[uri] = (now + self._KEPT, jwks)
                while len(self._known) > self._REMEMBERED:
                    oldest, _ = self._known.popitem(last=False)
                    self._asked.pop(oldest, None)
                    self._asking.pop(oldest, None)
        if not jwks:
            raise OAuthError("temporarily_unavailable", "the district's OIDC provider does not answer", 503)
        return jwks

    async def _fetch(self, uri: str) -> dict[str, Any] | None:
        body = b""
        try:
            async with (
                asyncio.timeout(self._PATIENCE),
                httpx.AsyncClient(timeout=self._PATIENCE) as client,
                client.stream("GET", uri) as response,
            ):
                response.raise_for_status()
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > self._MAX_BYTES:
                        return None
            jwks = json.loads(body)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError, RecursionError):
            return None
        keys = jwks.get("keys") if isinstance(jwks, dict) else None
        usable = isinstance(keys, list) and all(isinstance(key, dict) for key in keys)
        return jwks if usable else None
