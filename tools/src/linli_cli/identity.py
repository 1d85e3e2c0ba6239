"""Who calls, to try things out: people, apps and the platform itself, for whoever holds the platform's own secret.

Where a district has no OIDC provider yet, this is one: its key lies in the home's `secrets`, its public half is
registered with the directory, and people get their tokens as anybody does, by RFC 8693 exchange.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any
from uuid import uuid4

import jwt
import typer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from linli_cli.api import Api, ApiProblem, Login
from linli_cli.console import Trouble
from linli_cli.home import Home

ISSUER = "https://oidc.linli.invalid"
"""No such host exists, and none can: nothing is fetched from it."""
PLATFORM_CLIENT = "00000000-0000-7000-8000-000000000001"
"""What `directory.bootstrap` calls it; a test holds the two together, importing it would take half a second."""
ROLES = (
    "resident",
    "volunteer",
    "grid_worker",
    "department_staff",
    "community_manager",
    "street_admin",
    "district_admin",
    "operator",
    "app",
)
_KEY_ID = "embedded"
_TOKEN_PATH = "/directory/oauth/token"  # noqa: S105 an address
_ID_TOKEN_SECONDS = 60
_REFRESH_BEFORE = 60


def token(
    role: Annotated[str, typer.Option(help=f"{', '.join(ROLES)}.")],
    unit: Annotated[str, typer.Option(help="Unit code, e.g. 310104003; 0 is the platform.")],
) -> None:
    """Print an access token of the embedded stack to try things with 打印嵌入式环境的试用令牌."""
    home = Home.embedded()
    home.require()
    typer.echo(asyncio.run(token_of(home, role, unit)))


async def token_of(home: Home, role: str, unit: str) -> str:
    """Get one token."""
    async with Api(home.url) as api:
        return await Identities(home, api).login(role, unit)()


class Identities:
    """Gives logins to try things with; whoever is missing is registered through the directory's API.

    Args:
        home: whose secrets.
        api: how to reach the directory; it needs no login.
    """

    def __init__(self, home: Home, api: Api) -> None:
        self._home = home
        self._open = api
        self._platform = _kept(lambda: self._client_token(None))

    def login(self, role: str, unit: str, subject: str = "") -> Login:
        """Give a login that keeps its token until shortly before it ends.

        Args:
            role: what the caller is.
            unit: where.
            subject: tells apart several who have the same role at the same unit.

        Raises:
            Trouble: when there is no such role, or no unit where one can have it.
        """
        if role not in ROLES:
            raise Trouble(
                f"{role} is no role; take one of {', '.join(ROLES)}.",
                f"没有角色 {role}，可用：{'、'.join(ROLES)}。",
            )
        if role == "operator":
            if unit != "0":
                raise Trouble(
                    f"An operator works on the whole platform, not at {unit}; take unit 0, or the role district_admin.",
                    f"运维人员（operator）属于全平台而非 {unit}，请使用单元 0，或改用角色 district_admin。",
                )
            return self._platform
        if role == "app":
            return _kept(lambda: self._client_token(f"app@{unit}"))
        if not (unit.isascii() and unit.isdigit()) or unit == "0":
            raise Trouble(
                f"{unit} is no unit of a district; take a code like 310104003.",
                f"{unit} 不是区内单元代码，请使用如 310104003 的代码。",
            )
        return _kept(lambda: self._person_token(role, unit, subject or f"{role}@{unit}"))

    async def _client_token(self, scope: str | None) -> str:
        """Get a token as the platform's own client, or as a lesser app that it may speak for."""
        form = {
            "grant_type": "client_credentials",
            "client_id": PLATFORM_CLIENT,
            "client_secret": self._home.secret("platform_client_secret"),
        }
        return await self._token(form | ({"scope": scope} if scope else {}))

    async def _person_token(self, role: str, unit: str, subject: str) -> str:
        try:
            return await self._exchange(role, unit, subject)
        except ApiProblem as problem:
            if problem.body.get("error") == "invalid_grant":
                await self._register_provider(unit[:6])
            elif problem.body.get("error") != "invalid_scope":
                raise
        try:
            return await self._exchange(role, unit, subject)
        except ApiProblem as problem:
            if problem.body.get("error") != "invalid_scope":
                raise
        await self._assign(role, unit, subject)
        return await self._exchange(role, unit, subject)

    async def _exchange(self, role: str, unit: str, subject: str) -> str:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": _audience(unit),
            "sub": subject,
            "iat": now,
            "exp": now + _ID_TOKEN_SECONDS,
            "jti": str(uuid4()),
        }
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": jwt.encode(claims, provider_key(self._home), "ES256", {"kid": _KEY_ID}),
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        }
        # Everybody is a resident of his whole district.
        return await self._token(form | ({} if role == "resident" else {"scope": f"{role}@{unit}"}))

    async def _token(self, form: dict[str, str]) -> str:
        answer = await self._open.request("POST", _TOKEN_PATH, data=form)
        return str(answer.json()["access_token"])

    async def _register_provider(self, district: str) -> None:
        public = json.loads(ECAlgorithm.to_jwk(_private(self._home).public_key()))
        keys = {"keys": [{**public, "kid": _KEY_ID, "alg": "ES256", "use": "sig"}]}
        body = {"issuer": ISSUER, "audience": _audience(district), "jwks": keys}
        operator = self._open.by(self._platform)
        try:
            await operator.put(f"/directory/v1/providers/{district}", body)
        except ApiProblem as problem:
            if problem.status != HTTPStatus.PRECONDITION_REQUIRED:
                raise
            known = (await operator.get(f"/directory/v1/providers/{district}")).json()
            # Ours: somebody was quicker, or the token refused had been exchanged by a try whose answer was lost.
            if known["issuer"] != ISSUER:
                raise Trouble(
                    f"District {district} has an OIDC provider of its own; only that can say who its people are.",
                    f"区 {district} 已配置自己的统一身份认证，请用它登录。",
                ) from problem

    async def _assign(self, role: str, unit: str, subject: str) -> None:
        operator = self._open.by(self._platform)
        person = {"unit": unit, "name": subject, "issuer": ISSUER, "subject": subject}
        try:
            staff = (await operator.post("/directory/v1/staff", person)).json()["id"]
        except ApiProblem as problem:
            if problem.status != HTTPStatus.CONFLICT:
                raise
            # On the staff already, without this role.
            resident = await self._exchange("resident", unit, subject)
            staff = jwt.decode(resident, options={"verify_signature": False})["sub"]
        await operator.post(f"/directory/v1/staff/{staff}/assignments", {"role": role, "unit": unit})


def provider_key(home: Home) -> str:
    """Give the private key of the OIDC provider that this is as PEM; the first time, make it."""
    return home.secret("oidc_key.pem", _new_key)


def _new_key() -> str:
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def _private(home: Home) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(provider_key(home).encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 we made it
    return key


def _audience(unit: str) -> str:
    """Name a district's audience: the directory tells districts of one issuer apart by it."""
    return f"linli-{unit[:6]}"


def _kept(obtain: Callable[[], Awaitable[str]]) -> Login:
    """Keep a token until a minute before it ends; many who ask at once wait for one request."""
    lock = asyncio.Lock()
    kept: dict[str, Any] = {"token": "", "until": 0.0}

    async def login() -> str:
        async with lock:
            if time.time() > kept["until"]:
                kept["token"] = await obtain()
                kept["until"] = jwt.decode(kept["token"], options={"verify_signature": False})["exp"] - _REFRESH_BEFORE
            return str(kept["token"])

    return login
