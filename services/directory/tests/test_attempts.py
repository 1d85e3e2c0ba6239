"""Sign-ins that fail: counted where an operator sees them, and bounded."""

from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from services.directory.tests.conftest import DISTRICT, FOREIGN, STREET, made
from services.directory.tests.test_oauth import AUDIENCE, ISSUER, JWKS, TOKEN, exchange, id_token

from directory.api import oauth
from directory.attempts import _REMEMBERED, Attempts
from directory.oauth import OAuthError
from linli.testing import Running

FORM = {"grant_type": "client_credentials"}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(directory: Running, monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(directory.app.state, "attempts", Attempts(found))
    return found


async def an_app(directory: Running) -> tuple[str, str]:
    app = await made(directory.client("district_admin", DISTRICT), "/apps", unit=STREET, name="随手拍", roles=["app"])
    return app["client_id"], app["secret"]


async def sign_in(directory: Running, client: str, secret: str, address: str = "10.0.0.1") -> httpx.Response:
    transport = httpx.ASGITransport(directory.app, client=(address, 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as caller:
        return await caller.post(TOKEN, data=FORM, auth=(client, secret))


async def test_nobody_tries_out_many_secrets(directory: Running, clock: Clock) -> None:
    client, secret = await an_app(directory)
    for _ in range(10):
        assert (await sign_in(directory, client, uuid4().hex)).status_code == 401
    clock.now += 20.5
    for tried in (uuid4().hex, secret):
        refused = await sign_in(directory, client, tried)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "40")
        assert refused.json()["error"] == "temporarily_unavailable"
    clock.now += 39.6
    assert (await sign_in(directory, client, secret)).status_code == 200


async def test_nobody_locks_a_client_out_by_trying(directory: Running, clock: Clock) -> None:
    client, secret = await an_app(directory)
    for _ in range(11):
        await sign_in(directory, client, "wrong", "10.0.0.1")
    assert (await sign_in(directory, client, secret, "10.0.0.2")).status_code == 200
    # It shares an address with the attacker now, and is known.
    assert (await sign_in(directory, client, secret, "10.0.0.1")).status_code == 200
    assert (await sign_in(directory, client, "wrong", "10.0.0.1")).status_code == 429
    other, its_secret = await an_app(directory)
    assert (await sign_in(directory, other, its_secret, "10.0.0.1")).status_code == 200
    assert clock.now


async def test_a_known_secret_that_was_replaced_opens_nothing(directory: Running, clock: Clock) -> None:
    client, secret = await an_app(directory)
    assert (await sign_in(directory, client, secret)).status_code == 200
    caller = directory.client("district_admin", DISTRICT)
    await caller.post(f"/directory/v1/apps/{client}/rotate-secret", headers={"If-Match": "*"})
    for _ in range(11):
        await sign_in(directory, client, "wrong")
    assert (await sign_in(directory, client, secret)).status_code == 401
    assert clock.now


async def test_a_client_is_the_same_however_its_id_is_written(directory: Running, clock: Clock) -> None:
    client, secret = await an_app(directory)
    written = [client.upper(), client.replace("-", ""), f"{{{client}}}", f"--{client}", "-".join(client)]
    for spelling in written * 2:
        assert (await sign_in(directory, spelling, "wrong")).status_code == 401
    for spelling in (client, f"{client}-"):
        assert (await sign_in(directory, spelling, secret)).status_code == 429
    clock.now += 60
    assert (await sign_in(directory, client, secret)).status_code == 200


async def test_what_is_no_clients_id_is_not_remembered(directory: Running, clock: Clock) -> None:
    for name in ("x" * 100_000, "", str(uuid4())[1:]):
        assert (await sign_in(directory, name, "wrong")).status_code == 401
    assert not directory.app.state.attempts._wrong
    assert clock.now


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    attempts = Attempts()
    for number in range(_REMEMBERED + 5):
        attempts.wrong(UUID(int=number), "a")
        attempts.right(UUID(int=number), "s")
    assert len(attempts._wrong) == len(attempts._right) == _REMEMBERED


def test_ten_wrong_ones_are_forgiven_once_a_minute_is_over() -> None:
    clock, client = Clock(), uuid4()
    attempts = Attempts(clock)
    for _ in range(10):
        attempts.check(client, "s", "a")
        attempts.wrong(client, "a")
    with pytest.raises(OAuthError):
        attempts.check(client, "s", "a")
    clock.now += 60
    attempts.check(client, "s", "a")
    attempts.wrong(client, "a")
    attempts.check(client, "s", "a")


async def test_failed_sign_ins_are_counted_by_district_and_reason_and_never_by_who(
    directory: Running, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: Counter[tuple[str, str]] = Counter()

    class Recorder:
        def add(self, amount: int, attributes: dict[str, Any]) -> None:
            assert set(attributes) == {"district", "reason"}
            counted[attributes["district"], attributes["reason"]] += amount

    assert oauth._failed._name == "linli.signins.failed"  # type: ignore[attr-defined] # the API's class hides it
    monkeypatch.setattr(oauth, "_failed", Recorder())
    provider = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": JWKS}
    answer = await directory.client("operator", "0").put(f"/directory/v1/providers/{DISTRICT}", json=provider)
    assert answer.is_success, answer.text
    client, secret = await an_app(directory)
    await sign_in(directory, client, secret)
    assert counted == {}
    await sign_in(directory, client, "wrong")
    await sign_in(directory, str(uuid4()), "wrong")
    await exchange(directory, id_token(exp=1))
    await exchange(directory, id_token(iss="https://elsewhere.invalid"))
    await exchange(directory, id_token(), scope=f"street_admin@{FOREIGN}")
    assert counted == {
        (DISTRICT, "invalid_client"): 1,
        ("0", "invalid_client"): 1,
        (DISTRICT, "invalid_grant"): 1,
        ("0", "invalid_grant"): 1,
        (DISTRICT, "invalid_scope"): 1,
    }
    for _ in range(11):
        await sign_in(directory, client, "wrong")
    assert counted["0", "temporarily_unavailable"] == 2
    assert clock.now
