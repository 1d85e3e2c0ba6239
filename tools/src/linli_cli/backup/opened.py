"""A backup's archive from inside: its secrets, and each database server's files."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from linli_cli.archive.places import Place
from linli_cli.archive.seal import Key
from linli_cli.archive.tape import TapeReader, damaged
from linli_cli.backup import base, contents
from linli_cli.backup.contents import Receipt
from linli_cli.backup.take import PART
from linli_cli.console import Trouble

T = TypeVar("T")
_CHUNK: Final = 4 * 2**20


@dataclass(frozen=True)
class Backup:
    """A backup, where it lies, and what opens it."""

    place: Place
    receipt: Receipt
    key: Key = field(repr=False)

    def secrets(self) -> dict[str, str]:
        """Read the secrets alone."""
        with self.place.reading(self.receipt.archive) as sealed, self.key.opening(sealed) as plain:
            return self._secrets(TapeReader(plain))

    def each(self, act: Callable[[str, BinaryIO], T]) -> dict[str, T]:
        """Do something with each server's dump, one after the other, and hold that the archive is whole.

        Args:
            act: gets the server's name and its dump, which it may leave unread.

        Raises:
            Trouble: when the archive is damaged, or is not the one of the receipt.
        """
        found: dict[str, T] = {}
        servers = self.receipt.servers
        with self.place.reading(self.receipt.archive) as sealed, self.key.opening(sealed) as plain:
            tape = TapeReader(plain)
            self._secrets(tape)
            for server in servers:
                chunks = tape.stream(f"{server}/files", PART)
                found[server] = act(server, io.BufferedReader(base.Chunks(chunks), _CHUNK))
                for _ in chunks:
                    pass
            if tape.document("end") != {name: facts.model_dump(mode="json") for name, facts in servers.items()}:
                raise damaged()
            tape.end()
        return found

    def _secrets(self, tape: TapeReader) -> dict[str, str]:
        if tape.document("header") != contents.header(self.receipt.name):
            raise Trouble(
                f"{self.receipt.archive} is another backup, or of a later format.", "归档与说明不符，或格式更新。"
            )
        found: dict[str, str] = tape.document("secrets")
        return found


def write_secrets(secrets: Mapping[str, str], folder: Path) -> None:
    """Put secrets into a folder; those that are there must be the same.

    Raises:
        Trouble: when they are others.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    there = {file.name for file in folder.iterdir()}
    if differing := [name for name in there & secrets.keys() if (folder / name).read_text() != secrets[name]]:
        raise Trouble(
            f"In {folder} there are other secrets already: {', '.join(sorted(differing))}.",
            f"{folder} 中已有不同的密钥。",
            hint="They may be the only ones that read another backup: move them away, don't delete them.  "
            "请移走而不是删除。",
        )
    for name, value in secrets.items():
        if name not in there:
            file = folder / Path(name).name
            file.touch(mode=0o600)
            file.write_text(value)
