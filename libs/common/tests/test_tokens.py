"""Access tokens are verified offline, and only the directory's are good."""

import asyncio
import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from linli import security
from linli.problems import Unauthorized, Unavailable
from linli.security import PERMISSIONS, Tokens, require
from linli.testing import Authority, Watch


def patient(url: str) -> Tokens:
    """Give who verifies tokens, and waits for keys as long as a busy machine may take."""
    found = Tokens(url, "linli", "linli")
    found._PATIENCE = 30.0  # type: ignore[misc]
    return found


@pytest.fixture
def tokens(authority: Authority) -> Tokens:
    return patient(authority.jwks_url)


async def test_a_token_says_who_may_do_what_where(authority: Authority, tokens: Tokens) -> None:
    person = uuid4()
    found = await tokens.verify(authority.token("grid_worker", "310104003001001", person))
    assert (found.id, found.roles, found.grids) == (person, frozenset({"grid_worker"}), (310104003001001000,))
    assert found.scope.role == "linli_worker"
    assert "tickets.resolve" in found.permissions
    assert not found.covers(310104003001002000)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time()) - 60},
        {"nbf": int(time.time()) + 6000},
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
    authority: Authority, tokens: Tokens, claims: dict[str, Any]
) -> None:
    with pytest.raises(Unauthorized):
        await tokens.verify(authority.token("resident", **claims))


def forged(authority: Authority) -> Iterator[str]:
    good = authority.token("operator", "0")
    claims = jwt.decode(good, options={"verify_signature": False})
    header, body, signature = good.split(".")
    yield jwt.encode(claims, "", "none", {"kid": "test", "typ": "at+jwt"})
    yield jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), "ES256", {"kid": "test", "typ": "at+jwt"})
    yield jwt.encode(claims, "k" * 32, "HS256", {"kid": "test", "typ": "at+jwt"})
    yield jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), "ES256", {"kid": "unknown", "typ": "at+jwt"})
    yield f"{header}.{body}."
    yield f"{header}.{body}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
    yield jwt.encode(claims, authority._key, "ES256", {"kid": "test", "typ": "JWT"})
    yield base64.urlsafe_b64encode(b'{"kid":7,"alg":"ES256","typ":"at+jwt"}').decode() + f".{body}.{signature}"
    yield base64.urlsafe_b64encode(b'{"alg":' + b"[" * 50_000).decode() + f".{body}.{signature}"
    yield base64.urlsafe_b64encode(b'{"kid":"\\ud800"}').decode() + f".{body}.{signature}"
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


class SlowDirectory:
    """A directory that counts who asks it for keys, and takes its time."""

    def __init__(self) -> None:
        self.asked = 0
        self.takes = 0.3
        self.keys: list[object] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        await asyncio.sleep(self.takes)
        body = json.dumps({"keys": self.keys}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def directory(authority: Authority) -> AsyncIterator[tuple[SlowDirectory, Tokens]]:
    found = SlowDirectory()
    async with httpx.AsyncClient() as client:
        found.keys = (await client.get(authority.jwks_url)).json()["keys"]
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    async with server:
        yield found, patient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")


def of_unknown_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode({}, key, "ES256", {"kid": secrets.token_hex(), "typ": "at+jwt"})


async def test_a_hundred_made_up_key_ids_ask_the_directory_once_and_wait_no_longer_than_one(
    authority: Authority, directory: tuple[SlowDirectory, Tokens], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, tokens = directory
    # An answer takes longer than the pause until the next question, and no time goes by besides.
    clock = SimpleNamespace(monotonic=lambda: 100.0 * server.asked, time=time.time)
    monkeypatch.setattr(security, "time", clock)
    async with Watch() as watch:
        answers = await asyncio.gather(*(tokens.verify(of_unknown_key()) for _ in range(100)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unauthorized}
    assert server.asked == 1
    assert watch.seconds < 1.5
    await tokens.verify(authority.token("resident"))


async def test_a_directory_that_never_ends_its_answer_is_given_up(
    authority: Authority, directory: tuple[SlowDirectory, Tokens]
) -> None:
    server, tokens = directory
    server.takes = 2
    tokens._PATIENCE = 0.5  # type: ignore[misc] # long enough to connect, also on a busy machine
    with pytest.raises(Unavailable):
        await tokens.verify(authority.token("resident"))


async def test_a_key_withdrawn_is_believed_no_longer_than_five_minutes(
    authority: Authority, directory: tuple[SlowDirectory, Tokens]
) -> None:
    server, tokens = directory
    await tokens.verify(authority.token("resident"))
    server.keys = [{**server.keys[0], "kid": "another"}]  # type: ignore[dict-item]
    tokens._asked = float("-inf")
    await tokens.verify(authority.token("resident"))
    assert server.asked == 1
    tokens._read -= 301
    await tokens.verify(authority.token("resident"))
    assert tokens._refreshing
    await tokens._refreshing
    tokens._asked = float("-inf")
    with pytest.raises(Unauthorized):
        await tokens.verify(authority.token("resident"))


async def test_no_more_tokens_are_remembered_than_there_is_room_for(authority: Authority, tokens: Tokens) -> None:
    tokens._REMEMBERED = 3  # type: ignore[misc]
    for _ in range(5):
        await tokens.verify(authority.token("resident"))
    assert len(tokens._verified) == 3


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
