import base64
import os
import string
from collections.abc import AsyncIterator
from importlib.resources import files
from uuid import UUID, uuid4

import asyncpg
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import create_async_engine

from linli import bootstrap, crypto
from linli.crypto import BadMasterKey, DistrictKeys, Field, Keyring, MasterKeys, NotDecryptable
from linli.db import Scope, Sessions, async_url, create_sessions, transaction
from linli.driver import Driver

PHONE = Field("resident", "phone", crypto.phone_digits)
ID_NUMBER = Field("resident", "id_number", crypto.id_number_form)
ROW = UUID(int=7)


def fresh_master() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def district_keys(district: int = 310104, root: bytes = bytes(32)) -> DistrictKeys:
    return DistrictKeys(district, 1, {1: AESGCM(os.urandom(32))}, root)


KEYS = district_keys()


@given(st.text(), st.uuids())
def test_what_was_sealed_opens_again(value: str, row: UUID) -> None:
    assert KEYS.open(PHONE, row, KEYS.seal(PHONE, row, value)) == value


@given(st.text())
def test_the_same_value_never_looks_the_same_twice(value: str) -> None:
    assert KEYS.seal(PHONE, ROW, value) != KEYS.seal(PHONE, ROW, value)


def test_a_value_moved_to_another_row_column_or_district_does_not_open() -> None:
    sealed = KEYS.seal(PHONE, ROW, "13812341234")
    elsewhere = DistrictKeys(310105, 1, KEYS.ciphers, bytes(32))
    for keys, column, row in ((KEYS, PHONE, uuid4()), (KEYS, ID_NUMBER, ROW), (elsewhere, PHONE, ROW)):
        with pytest.raises(NotDecryptable, match="altered or belongs to another row"):
            keys.open(column, row, sealed)


@given(st.data())
def test_any_altered_bit_is_noticed(data: st.DataObject) -> None:
    sealed = bytearray(KEYS.seal(PHONE, ROW, "13812341234"))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(NotDecryptable):
        KEYS.open(PHONE, ROW, bytes(sealed))


@given(st.integers(0, 38))
def test_a_cut_value_is_noticed(length: int) -> None:
    with pytest.raises(NotDecryptable):
        KEYS.open(PHONE, ROW, KEYS.seal(PHONE, ROW, "138123")[:length])


@given(st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True))
def test_however_a_phone_number_is_written_its_index_is_the_same(phone: str) -> None:
    wide = phone.translate(str.maketrans(string.digits, "０１２３４５６７８９"))
    written = (phone, f"+86 {phone[:3]} {phone[3:7]}-{phone[7:]}", f"0086{phone}", f" {wide} ")
    assert {KEYS.index(PHONE, form) for form in written} == {KEYS.index(PHONE, phone)}


def test_the_index_of_an_id_number_knows_no_case_and_no_blanks() -> None:
    assert KEYS.index(ID_NUMBER, "31010419490101123x ") == KEYS.index(ID_NUMBER, "310104 19490101 123X")


@given(st.text(string.digits, min_size=1), st.text(string.digits, min_size=1))
def test_indexes_are_equal_only_for_equal_values(one: str, other: str) -> None:
    same = crypto.phone_digits(one) == crypto.phone_digits(other)
    assert (KEYS.index(PHONE, one) == KEYS.index(PHONE, other)) is same


def test_indexes_differ_between_districts_and_columns() -> None:
    root = os.urandom(32)
    keys, elsewhere = district_keys(310104, root), district_keys(310105, root)
    mail = Field("resident", "wechat", crypto.phone_digits)
    indexes = {keys.index(PHONE, "138"), elsewhere.index(PHONE, "138"), keys.index(mail, "138")}
    assert len(indexes) == 3


def test_keys_stay_out_of_what_is_printed() -> None:
    assert "index_root" not in repr(district_keys(root=b"secret" + bytes(26)))


def test_masks_show_only_what_tells_people_apart() -> None:
    assert crypto.mask_phone("13812341234") == "138****1234"
    assert crypto.mask_id_number("31010419490101123X") == "3****************X"


@pytest.mark.parametrize("bad", ["", "nonsense", "c2hvcnQ=", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=,"])
def test_a_bad_master_key_is_named_in_the_error(bad: str) -> None:
    with pytest.raises(BadMasterKey, match="LINLI_MASTER_KEY must be 32 bytes in base64"):
        MasterKeys(bad)


def test_another_master_key_is_told_apart_from_an_altered_data_key() -> None:
    master = MasterKeys(fresh_master())
    wrapped = master.wrap(310104, 1, bytes(32))
    with pytest.raises(BadMasterKey, match="wrapped by another master key"):
        MasterKeys(fresh_master()).unwrap(310104, 1, wrapped)
    with pytest.raises(BadMasterKey, match="was altered"):
        master.unwrap(310104, 2, wrapped)


@pytest.fixture(scope="module")
async def sessions(postgres: str) -> AsyncIterator[Sessions]:
    admin = postgres.format(user="postgres", database="postgres")
    await bootstrap.provision(admin, ["vault"], dict.fromkeys(bootstrap.logins("vault"), "test"))
    owner = await asyncpg.connect(postgres.format(user="vault_owner", database="vault"))
    await owner.execute("GRANT USAGE ON SCHEMA public TO linli_scoped, linli_worker")
    await owner.execute(files("linli").joinpath("sql/data_key.sql").read_text())
    await owner.close()
    engine = create_async_engine(
        async_url(postgres.format(user="vault_app", database="vault")), connect_args={"connection_class": Driver}
    )
    yield create_sessions({None: engine}, lambda _: None)
    await engine.dispose()


def in_district(district: int) -> Scope:
    return Scope.of_district(district)


async def test_a_district_gets_keys_when_they_are_first_needed(sessions: Sessions) -> None:
    keyring = Keyring(MasterKeys(fresh_master()))
    async with transaction(sessions, in_district(310101)) as session:
        keys = await keyring.of(session, 310101)
        sealed = keys.seal(PHONE, ROW, "138")
    async with transaction(sessions, in_district(310101)) as session:
        assert await keyring.open(session, 310101, PHONE, ROW, sealed) == "138"
        assert (await keyring.of(session, 310101)).newest == 1


async def test_keys_of_a_transaction_that_was_rolled_back_are_forgotten(sessions: Sessions) -> None:
    keyring = Keyring(MasterKeys(fresh_master()))
    async with sessions(info={"scope": in_district(310102)}) as session:
        lost = await keyring.of(session, 310102)
        await keyring.of(session, 310102)
        await session.rollback()
    async with transaction(sessions, in_district(310102)) as session:
        kept = await keyring.of(session, 310102)
    assert kept.index(PHONE, "138") != lost.index(PHONE, "138")


async def test_after_a_rotation_new_values_use_the_new_key_and_old_ones_still_open(sessions: Sessions) -> None:
    master = MasterKeys(fresh_master())
    keyring, other_replica = Keyring(master), Keyring(master)
    async with transaction(sessions, in_district(310103)) as session:
        old = (await keyring.of(session, 310103)).seal(PHONE, ROW, "old")
    async with transaction(sessions, in_district(310103)) as session:
        before = await other_replica.of(session, 310103)
        assert await keyring.rotate(session, 310103) == 2
    async with transaction(sessions, in_district(310103)) as session:
        keys = await keyring.of(session, 310103)
        new = keys.seal(PHONE, ROW, "new")
        assert keys.newest == 2
        assert keys.open(PHONE, ROW, old) == "old"
        assert await other_replica.open(session, 310103, PHONE, ROW, new) == "new"
        assert keys.index(PHONE, "138") == before.index(PHONE, "138")


async def test_the_master_key_can_be_replaced(sessions: Sessions) -> None:
    old, new = fresh_master(), fresh_master()
    async with transaction(sessions, in_district(310104)) as session:
        sealed = (await Keyring(MasterKeys(old)).of(session, 310104)).seal(PHONE, ROW, "138")
    async with transaction(sessions, in_district(310104)) as session:
        await Keyring(MasterKeys(f"{new},{old}")).rotate(session, 310104)
    async with transaction(sessions, in_district(310104)) as session:
        assert await Keyring(MasterKeys(new)).open(session, 310104, PHONE, ROW, sealed) == "138"
        with pytest.raises(BadMasterKey):
            await Keyring(MasterKeys(old)).of(session, 310104)


async def test_keys_are_read_again_when_their_time_is_over(sessions: Sessions) -> None:
    now = 0.0
    keyring = Keyring(MasterKeys(fresh_master()), lifetime=60, clock=lambda: now)
    async with transaction(sessions, in_district(310105)) as session:
        await keyring.of(session, 310105)
    async with transaction(sessions, in_district(310105)) as session:
        first = await keyring.of(session, 310105)
        assert await keyring.of(session, 310105) is first
        now = 61.0
        assert await keyring.of(session, 310105) is not first


async def test_a_district_does_not_see_anothers_keys(sessions: Sessions) -> None:
    keyring = Keyring(MasterKeys(fresh_master()))
    with pytest.raises(Exception, match="row-level security"):
        async with transaction(sessions, in_district(310106)) as session:
            await keyring.of(session, 310107)
