"""A district's data keys: unwrapped for the way, because every platform wraps them with a master key of its own."""

import csv
import io
from collections.abc import Iterable

import asyncpg

from linli.crypto import BadMasterKey, MasterKeys
from linli_cli.archive.tables import SECRET, Table
from linli_cli.archive.tape import damaged
from linli_cli.console import Trouble

NAME = "data_key"
_HEX = "\\x"


async def write(connection: asyncpg.Connection, table: Table, district: int, master: MasterKeys) -> bytes:
    """Give the table as CSV, the keys in plain: the archive around them is encrypted.

    Raises:
        Trouble: when the master key is not the one they were wrapped with.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(table.columns)
    for row in await connection.fetch(table.rows(district)):
        values = dict(row)
        try:
            plain = master.unwrap(district, values["id"], values[SECRET[NAME]])
        except BadMasterKey as error:
            raise Trouble(str(error), "主密钥与数据密钥不符。") from error
        values[SECRET[NAME]] = _HEX + plain.hex()
        writer.writerow([_text(values[name]) for name in table.columns])
    return text.getvalue().encode()


def wrapped(chunks: Iterable[bytes], district: int, master: MasterKeys) -> bytes:
    """Give the CSV with the keys wrapped by this platform's master key.

    Raises:
        Trouble: when it is no such table.
    """
    reader = csv.DictReader(io.StringIO(b"".join(chunks).decode()))
    text = io.StringIO()
    writer = csv.DictWriter(text, reader.fieldnames or ())
    writer.writeheader()
    try:
        for row in reader:
            plain = bytes.fromhex(row[SECRET[NAME]].removeprefix(_HEX))
            row[SECRET[NAME]] = _HEX + master.wrap(district, int(row["id"]), plain).hex()
            writer.writerow(row)
    except (KeyError, ValueError) as error:
        raise damaged() from error
    return text.getvalue().encode()


def _text(value: object) -> str:
    # COPY reads nothing between two commas as NULL.
    return "" if value is None else str(value)
