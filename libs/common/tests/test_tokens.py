"""Access tokens are verified offline, and only the directory's are good."""

import time
from collections.abc import Iterator
from uuid import uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from linli.problems import Unauthorized, Unavailable
from linli.security import PERMISSIONS, Tokens, require
from linli.testing import Authority


@pytest.fixture
def tokens(authority: Authority) -> Tokens:
    return Tokens(authority.jwks_url, "linli", "linli")


async def test_a_token_says_who_may_do_what_where(authority: Authority, tokens: Tokens) -> None:
    person = uuid4()
    found = await tokens.verify(authority.token("grid_worker", "310104003001001", person))
    assert (found.id, found.roles, found.grids) == (person, {"grid_worker"}, (310104003001001000,))
    assert found.scope.role == "linli_worker"
    assert "tickets.resolve" in found.permissions
    assert not found.covers(310104003001002000)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time()) - 60},
        {"nbf": int(time.time()) + 60},
        {"iss": "somebody"},
        {"aud": "another"},
        {"sub": "not a uuid"},
        {"unit": "31"},
        {"roles": None},
        {"jti": None},
        {"grids": ["x"]},
    ],
)
async def test_a_token_with_a_wrong_claim_is_refused(
    authority: Authority, tokens: Tokens, claims: dict[str, object]
) -> None:
    with pytest.raises(Unauthorized):
        await tokens.verify(authority.token("resident", **claims))


def forged(authority: Authority) -> Iterator[str]:
    good = authority.token("operator", "0")
    claims = jwt.decode(good, options={"verify_signature": False})
    header, body, signature = good.split(".")
    yield jwt.encode(claims, None, "none", {"kid": "test"})
    yield jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), "ES256", {"kid": "test"})
    yield jwt.encode(claims, "k" * 32, "HS256", {"kid": "test"})
    yield jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), "ES256", {"kid": "unknown"})
    yield f"{header}.{body}."
    yield f"{header}.{body}.{signature[:-4]}AAAA"
    yield "nonsense"
    yield ""
    yield "é.é.é"


async def test_a_forged_token_is_refused(authority: Authority, tokens: Tokens) -> None:
    for token in forged(authority):
        with pytest.raises(Unauthorized):
            await tokens.verify(token)


async def test_a_remembered_token_ends_when_it_expires(authority: Authority, tokens: Tokens) -> None:
    token = authority.token("resident", exp=int(time.time()) + 1)
    await tokens.verify(token)
    tokens._verified[token] = (time.time() - 1, tokens._verified[token][1])
    with pytest.raises(Unauthorized):
        await tokens.verify(authority.token("resident", exp=int(time.time()) - 10))


async def test_without_keys_nobody_is_called_a_liar(authority: Authority) -> None:
    away = Tokens("http://127.0.0.1:9/jwks.json", "linli", "linli")
    with pytest.raises(Unavailable):
        await away.verify(authority.token("resident"))
    assert not await away.ready()


async def test_keys_are_kept_while_the_directory_is_away(authority: Authority, tokens: Tokens) -> None:
    await tokens.verify(authority.token("resident"))
    tokens._url = "http://127.0.0.1:9/jwks.json"
    tokens._asked = float("-inf")
    await tokens.verify(authority.token("resident"))


def test_a_permission_nobody_has_is_a_mistake_in_the_code() -> None:
    with pytest.raises(LookupError):
        require("tickets.opne")


def test_operators_see_no_residents() -> None:
    assert not {name for name in PERMISSIONS["operator"] if name.startswith(("residents.", "tickets.", "points."))}


def test_the_key_is_published_without_its_secret(authority: Authority) -> None:
    published = httpx.get(authority.jwks_url).json()["keys"]
    assert {frozenset(key) for key in published} == {frozenset({"kty", "crv", "x", "y", "kid", "alg", "use"})}
