"""Personal data at rest: encrypted with a key per district, found again by blind index, shown masked.

Each district has data keys of its own, wrapped by the platform's master key, in the table `data_key` of every
service that encrypts (`migrate.sql("data_key")`). Key 0 is the root of the blind indexes and stays for ever, so
that a search still finds what was written before a rotation; keys 1, 2, ... encrypt, the newest one what is new,
all of them readable.

    keys = await keyring.of(session, district)
    row.phone_cipher = keys.seal(PHONE, row.id, "13812341234")
    row.phone_index = keys.index(PHONE, "138 1234 1234")
    phone = await keyring.open(session, district, PHONE, row.id, row.phone_cipher)

A ciphertext is `version | key id | nonce | data`, bound to `district|table|column|row id`: copied to another
row, column or district it does not open.
"""

import base64
import binascii
import hashlib
import hmac
import os
import struct
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_VERSION: Final = 1
_HEAD: Final = struct.Struct(">BI")
_NONCE: Final = 12
_TAG: Final = 16
_KEY: Final = 32
_INDEX_ROOT: Final = 0


class CryptoError(Exception):
    """Something encrypted can't be read or written; the message never holds a value or a key."""


class BadMasterKey(CryptoError):  # noqa: N818 it reads as what is wrong
    """The master key can't be used, or is not the one a district's keys were wrapped with."""


class NotDecryptable(CryptoError):  # noqa: N818 it reads as what is wrong
    """A ciphertext was altered, moved from another row, or its key is gone."""


class _UnknownKey(NotDecryptable):
    """The key is younger than what this process remembers."""


def phone_digits(value: str) -> str:
    """Write a phone number in its one form: digits alone, without the country's 86."""
    digits = value
    if not (value.isascii() and value.isdigit()):
        digits = "".join(c for c in unicodedata.normalize("NFKC", value) if c.isascii() and c.isdigit())
    digits = digits.removeprefix("00") if digits.startswith("0086") else digits
    return digits[2:] if len(digits) == 13 and digits.startswith("86") else digits  # noqa: PLR2004 86 + 11 digits


def id_number_form(value: str) -> str:
    """Write an ID number (身份证号) in its one form: no blanks, the check digit X as a capital."""
    return "".join(unicodedata.normalize("NFKC", value).split()).upper()


def mask_phone(value: str) -> str:
    """Show a phone number's first three and last four digits: `138****1234`."""
    return f"{value[:3]}****{value[-4:]}"


def mask_id_number(value: str) -> str:
    """Show an ID number's first and last character: `3****************X`.

    What lies between says where and when somebody was born; next to a date of birth, more would give it all away.
    """
    return f"{value[:1]}****************{value[-1:]}"


@dataclass(frozen=True, slots=True)
class Field:
    """An encrypted column, and the one form in which its values are compared.

    Attributes:
        table: the table it stands in.
        column: its name without `_cipher` or `_index`.
        form: gives equal values equal words, e.g. `phone_digits`.
    """

    table: str
    column: str
    form: Callable[[str], str]


def _bound_to(district: int, column: Field, row: UUID) -> bytes:
    return f"{district}|{column.table}|{column.column}|{row}".encode()


@dataclass(frozen=True, slots=True)
class DistrictKeys:
    """One district's keys, unwrapped: seals, opens and indexes without waiting."""

    district: int
    newest: int
    ciphers: Mapping[int, AESGCM]
    index_root: bytes = field(repr=False)
    _index_keys: dict[Field, bytes] = field(default_factory=dict, repr=False)

    def seal(self, column: Field, row: UUID, value: str) -> bytes:
        """Encrypt a value for one column of one row; the same value never looks the same twice."""
        nonce = os.urandom(_NONCE)
        head = _HEAD.pack(_VERSION, self.newest)
        bound = head + _bound_to(self.district, column, row)
        return head + nonce + self.ciphers[self.newest].encrypt(nonce, value.encode(), bound)

    def open(self, column: Field, row: UUID, sealed: bytes) -> str:
        """Decrypt what was sealed for exactly this column and row.

        Raises:
            NotDecryptable: when it was altered, cut, or sealed for another place.
        """
        if len(sealed) < _HEAD.size + _NONCE + _TAG:
            raise NotDecryptable(f"{column.table}.{column.column} of {row} is cut short")
        version, key_id = _HEAD.unpack_from(sealed)
        if version != _VERSION:
            raise NotDecryptable(f"{column.table}.{column.column} of {row} has the unknown format {version}")
        if key_id not in self.ciphers:
            raise _UnknownKey(
                f"{column.table}.{column.column} of {row} needs data key {key_id} of district"
                f" {self.district}, which is not in data_key"
            )
        nonce = sealed[_HEAD.size : _HEAD.size + _NONCE]
        bound = sealed[: _HEAD.size] + _bound_to(self.district, column, row)
        try:
            return self.ciphers[key_id].decrypt(nonce, sealed[_HEAD.size + _NONCE :], bound).decode()
        except InvalidTag:
            raise NotDecryptable(
                f"{column.table}.{column.column} of {row} was altered or belongs to another row"
            ) from None

    def index(self, column: Field, value: str) -> bytes:
        """Make the blind index of a value: equal values of this district and column give equal bytes."""
        key = self._index_keys.get(column)
        if key is None:
            purpose = f"blind index|{self.district}|{column.table}|{column.column}".encode()
            key = HKDF(SHA256(), _KEY, salt=None, info=purpose).derive(self.index_root)
            self._index_keys[column] = key
        return hmac.digest(key, column.form(value).encode(), "sha256")


class MasterKeys:
    """The keys that wrap data keys: the first wraps, all unwrap, so that a master key can be replaced.

    Args:
        encoded: 32 bytes in base64; while a key is being replaced, new and old separated by a comma.

    Raises:
        BadMasterKey: when it is something else.
    """

    def __init__(self, encoded: str) -> None:
        keys = []
        for part in encoded.split(","):
            try:
                key = base64.b64decode(part.strip(), validate=True)
            except (binascii.Error, ValueError):
                key = b""
            if len(key) != _KEY:
                raise BadMasterKey(
                    "LINLI_MASTER_KEY must be 32 bytes in base64, e.g. from `openssl rand -base64 32`"
                    " (主密钥应为 base64 编码的 32 字节)"
                )
            keys.append(key)
        self._keys = keys
        self._ciphers = {hashlib.sha256(b"linli master key" + key).digest()[:4]: AESGCM(key) for key in keys}
        self._newest = next(iter(self._ciphers))

    def derive(self, purpose: str) -> list[bytes]:
        """Make a key from each master key, newest first, for what is kept too short a while for keys of its own."""
        info = f"linli|{purpose}".encode()
        return [HKDF(SHA256(), _KEY, salt=None, info=info).derive(key) for key in self._keys]

    def wrap(self, district: int, key_id: int, key: bytes) -> bytes:
        """Encrypt a data key for its place in `data_key`."""
        nonce = os.urandom(_NONCE)
        head = bytes([_VERSION]) + self._newest
        bound = head + f"{district}|data_key|{key_id}".encode()
        return head + nonce + self._ciphers[self._newest].encrypt(nonce, key, bound)

    def unwrap(self, district: int, key_id: int, wrapped: bytes) -> bytes:
        """Decrypt a data key.

        Raises:
            BadMasterKey: when no master key we were given opens it.
        """
        head, nonce, data = wrapped[:5], wrapped[5 : 5 + _NONCE], wrapped[5 + _NONCE :]
        cipher = self._ciphers.get(head[1:])
        if cipher is None:
            raise BadMasterKey(
                f"data key {key_id} of district {district} was wrapped by another master key"
                f" (mark {head[1:].hex()}); give it after the new one in LINLI_MASTER_KEY"
            )
        try:
            return cipher.decrypt(nonce, data, head + f"{district}|data_key|{key_id}".encode())
        except InvalidTag:
            raise BadMasterKey(f"data key {key_id} of district {district} was altered") from None


# A key made in this very transaction may yet be rolled back, so it must not be remembered: its created_at is now().
_SELECT: Final = text(
    "SELECT id, wrapped, created_at < now() AS settled FROM data_key WHERE district = :district ORDER BY id"
)
_INSERT: Final = text(
    "INSERT INTO data_key (district, id, wrapped) VALUES (:district, :id, :wrapped) ON CONFLICT DO NOTHING"
)
_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtext('linli.data_key'), :district)")
_REWRAP: Final = text(
    "UPDATE data_key SET wrapped = :wrapped,"
    " retired_at = CASE WHEN id = 0 THEN NULL ELSE coalesce(retired_at, now()) END"
    " WHERE district = :district AND id = :id"
)


class Keyring:
    """Districts' keys, unwrapped when first needed and remembered for a while.

    Args:
        master: what `LINLI_MASTER_KEY` says.
        lifetime: seconds until keys are read again.
        clock: tells seconds that never run backwards.
    """

    _REMEMBERED: Final = 1_000

    def __init__(
        self, master: MasterKeys, *, lifetime: float = 300, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._master = master
        self._lifetime = lifetime
        self._clock = clock
        self._known: OrderedDict[int, tuple[float, DistrictKeys]] = OrderedDict()

    async def of(self, session: AsyncSession, district: int) -> DistrictKeys:
        """Give a district's keys, making its first ones in this transaction when there are none."""
        known = self._known.get(district)
        if known and known[0] > self._clock():
            return known[1]
        return await self._read(session, district)

    async def open(self, session: AsyncSession, district: int, column: Field, row: UUID, sealed: bytes) -> str:
        """Decrypt a value, also one that another replica sealed with a key made a moment ago.

        Raises:
            NotDecryptable: when it was altered, or sealed for another place.
        """
        keys = await self.of(session, district)
        try:
            return keys.open(column, row, sealed)
        except _UnknownKey:
            return (await self._read(session, district)).open(column, row, sealed)

    async def rotate(self, session: AsyncSession, district: int) -> int:
        """Make a new key for what is written from now on; wrap the old ones with the newest master key.

        Returns:
            The new key's id.
        """
        await session.execute(_LOCK, {"district": district})
        newest = (await self._read(session, district)).newest + 1
        for key_id, wrapped, _ in (await session.execute(_SELECT, {"district": district})).all():
            key = self._master.unwrap(district, key_id, wrapped)
            again = self._master.wrap(district, key_id, key)
            await session.execute(_REWRAP, {"district": district, "id": key_id, "wrapped": again})
        await self._make(session, district, newest)
        self._known.pop(district, None)
        return newest

    async def _make(self, session: AsyncSession, district: int, *ids: int) -> None:
        rows = [
            {"district": district, "id": id_, "wrapped": self._master.wrap(district, id_, os.urandom(_KEY))}
            for id_ in ids
        ]
        await session.execute(_INSERT, rows)

    async def _read(self, session: AsyncSession, district: int) -> DistrictKeys:
        rows = (await session.execute(_SELECT, {"district": district})).all()
        if not rows:
            await self._make(session, district, _INDEX_ROOT, 1)
            rows = (await session.execute(_SELECT, {"district": district})).all()
        plain = {row.id: self._master.unwrap(district, row.id, row.wrapped) for row in rows}
        root = plain.pop(_INDEX_ROOT)
        keys = DistrictKeys(district, max(plain), {key_id: AESGCM(key) for key_id, key in plain.items()}, root)
        if all(row.settled for row in rows):
            self._known[district] = (self._clock() + self._lifetime, keys)
            self._known.move_to_end(district)
            while len(self._known) > self._REMEMBERED:
                self._known.popitem(last=False)
        return keys
