import asyncio
from datetime import timedelta

import jwt
import pytest
from services.directory.tests.conftest import DISTRICT, move

from directory.app import create_app
from directory.bootstrap import PLATFORM_CLIENT, BootstrapSettings, bootstrap
from directory.keys import JWKS_MAX_AGE, TOKEN_LIFE, SigningKeys
from linli.crypto import BadMasterKey, MasterKeys
from linli.testing import Running, Stage

SECRET = "a secret of the platform's client"
OTHER_MASTER_KEY = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="


async def equip(directory: Running) -> None:
    """Make the platform's client, as a deployment does after migrating."""
    settings = directory.settings.model_dump() | {"platform_client_secret": SECRET}
    await bootstrap(BootstrapSettings(**settings))


async def token(directory: Running) -> str:
    form = {"grant_type": "client_credentials"}
    answer = await directory.client().post("/directory/oauth/token", data=form, auth=(str(PLATFORM_CLIENT), SECRET))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def published(directory: Running) -> dict[str, jwt.PyJWK]:
    answer = await directory.client().get("/directory/.well-known/jwks.json")
    assert answer.headers["cache-control"] == f"public, max-age={int(JWKS_MAX_AGE.total_seconds())}"
    return {str(key.key_id): key for key in jwt.PyJWKSet.from_dict(answer.json()).keys}


class Verifier:
    """A service that keeps the keys for as long as it was told, and asks for no others."""

    def __init__(self, directory: Running) -> None:
        self._directory = directory
        self._keys: dict[str, jwt.PyJWK] = {}
        self._until = timedelta(0)

    async def verify(self, token: str, now: timedelta) -> None:
        if now >= self._until:
            self._keys, self._until = await published(self._directory), now + JWKS_MAX_AGE
        jwt.decode(token, self._keys[jwt.get_unverified_header(token)["kid"]], ["ES256"], audience="linli")


async def test_the_bootstrap_makes_the_platforms_client_and_may_run_twice(directory: Running) -> None:
    await equip(directory)
    await equip(directory)
    claims = jwt.decode(await token(directory), options={"verify_signature": False})
    assert (claims["roles"], claims["unit"], claims["sub"]) == (["operator"], "0", str(PLATFORM_CLIENT))
    answer = await move(directory.client("operator", "0"), f"/apps/{PLATFORM_CLIENT}/disable")
    assert answer.status_code == 403
    for role, unit in (("district_admin", DISTRICT), ("operator", "0")):
        listed = await directory.client(role, unit).get("/directory/v1/apps")
        assert (str(PLATFORM_CLIENT) in listed.text) is (role == "operator")


async def test_keys_change_without_anybody_noticing(stage: Stage) -> None:
    """A clock that jumps a minute at a time: moving the keys into the past is moving now into the future."""
    async with stage.run("directory", create_app) as directory:
        await equip(directory)
        early, late = Verifier(directory), Verifier(directory)
        tokens: list[tuple[timedelta, str]] = []
        signed_with: list[str] = []
        for minute in range(40):
            now = timedelta(minutes=minute)
            if minute in {2, 20}:
                answer = await directory.client("operator", "0").post("/directory/v1/signing-keys/rotate")
                assert answer.status_code == 201, answer.text
            tokens.append((now, await token(directory)))
            signed_with.append(jwt.get_unverified_header(tokens[-1][1])["kid"])
            for born, found in tokens:
                if now - born < TOKEN_LIFE:
                    await early.verify(found, now)
                    if minute % 7 == 3:
                        await late.verify(found, now)
            await directory.database.execute("UPDATE signing_key SET active_from = active_from - interval '1 minute'")
            directory.app.state.signing_keys._known = None
        assert len(set(signed_with)) == 3
        assert signed_with[2] == signed_with[7] != signed_with[8]
        assert list(await published(directory)) == [signed_with[-1]]


async def test_a_second_rotation_waits_until_the_first_is_done(stage: Stage) -> None:
    async with stage.run("directory", create_app) as directory:
        await published(directory)
        operator = directory.client("operator", "0")
        first = await operator.post("/directory/v1/signing-keys/rotate")
        second = await operator.post("/directory/v1/signing-keys/rotate")
        assert (first.status_code, second.status_code) == (201, 409)
        assert second.json()["type"] == "urn:linli:problem:rotation-under-way"
        assert len(await published(directory)) == 2


async def test_many_replicas_start_with_one_key(stage: Stage) -> None:
    async with stage.run("directory", create_app) as directory:
        master = directory.settings.master_key.get_secret_value()
        replicas = [SigningKeys(MasterKeys(master)) for _ in range(8)]
        signers = await asyncio.gather(*(replica.signer(directory.app.state.sessions) for replica in replicas))
        assert len({signer.kid for signer in signers}) == 1
        assert list(await published(directory)) == [signers[0].kid]
        rows = await directory.database.fetch("SELECT private FROM signing_key")
        assert len(rows) == 1
        der = signers[0].private.private_numbers().private_value.to_bytes(32, "big")
        assert der not in rows[0]["private"]
        with pytest.raises(BadMasterKey, match="another master key"):
            await SigningKeys(MasterKeys(OTHER_MASTER_KEY)).signer(directory.app.state.sessions)


@pytest.mark.parametrize(("role", "unit"), [("district_admin", DISTRICT), ("street_admin", "310104003")])
async def test_only_the_platforms_operator_rotates_keys(directory: Running, role: str, unit: str) -> None:
    answer = await directory.client(role, unit).post("/directory/v1/signing-keys/rotate")
    assert answer.status_code == 403
