"""Base backups: a database server's files as pg_basebackup sends them, held against the manifest that it adds."""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final
from urllib.parse import unquote, urlsplit

from linli_cli.archive.tape import damaged
from linli_cli.backup import segments
from linli_cli.console import Trouble
from linli_cli.stack import database

_CHUNK: Final = 2**20
_MANIFEST: Final = "backup_manifest"
_LOG: Final = re.compile(r"pg_wal/([0-9A-F]{24}|[0-9A-F]{8}\.history)")
_LARGEST_MANIFEST: Final = 512 * 2**20


def program(name: str) -> str:
    """Find one of PostgreSQL's own programs: the embedded one's, or one on the path.

    Raises:
        Trouble: when it is not there.
    """
    found = shutil.which(name, path=f"{database.PROGRAMS / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}")
    if not found:
        raise Trouble(f"{name} is missing; it comes with PostgreSQL's client programs.", f"缺少 {name} 程序。")
    return found


@dataclass(frozen=True)
class Login:
    """How PostgreSQL's programs log in: options, and an environment with the password, so that no command shows it."""

    options: list[str]
    environment: Mapping[str, str]

    @classmethod
    def of(cls, url: str) -> "Login":
        """Take a connection address apart."""
        parts = urlsplit(url)
        options = ["-h", str(parts.hostname), "-p", str(parts.port or 5432), "-U", unquote(parts.username or ""), "-w"]
        return cls(options, {**os.environ, "PGPASSWORD": unquote(parts.password or ""), "PGCONNECT_TIMEOUT": "10"})


def dump(url: str) -> Iterator[bytes]:
    """Read a server's files, while it works, as one tar with the log that makes them whole.

    Raises:
        Trouble: when pg_basebackup fails, or a page's checksum is wrong.
    """
    login = Login.of(url)
    command = [
        *(program("pg_basebackup"), *login.options, "--pgdata=-", "--format=tar", "--wal-method=fetch"),
        *("--checkpoint=fast", "--manifest-checksums=SHA256", "--label=linli"),
    ]
    with (
        tempfile.TemporaryFile() as words,
        subprocess.Popen(command, env=login.environment, stdout=subprocess.PIPE, stderr=words) as process,
    ):
        assert process.stdout  # noqa: S101 it is a pipe
        try:
            while data := process.stdout.read(_CHUNK):
                yield data
            process.wait()
        finally:
            process.kill()
        if process.returncode:
            words.seek(0)
            said = words.read().decode(errors="replace").strip()
            raise Trouble(f"pg_basebackup failed: {said}", "数据库基础备份失败。", hint=_hint(said))


def _hint(said: str) -> str:
    if "pg_hba.conf" in said or "replication" in said:
        return "The server must let its superuser replicate from here: a line `host replication ...` in pg_hba.conf."
    return ""


def members(source: BinaryIO) -> Generator[tuple[tarfile.TarInfo, BinaryIO | None], None, tuple[list[str], int]]:
    """Go through a dump; every file must be read before the next one. At the end it is known to be whole.

    Returns:
        The pieces of the log that it needs, and holds, and the position in the log where it ended.

    Raises:
        Trouble: when it is not: a file is missing, altered or too much, or a piece of the log is missing.
    """
    found: dict[str, tuple[int, str]] = {}
    manifest = b""
    try:
        with tarfile.open(fileobj=source, mode="r|") as tar:
            for member in tar:
                file = tar.extractfile(member)
                if member.name == _MANIFEST and file and member.size < _LARGEST_MANIFEST:
                    manifest = file.read()
                elif file:
                    digest = _Digesting(file)
                    yield member, io.BufferedReader(digest)
                    while digest.read(_CHUNK):
                        pass
                    found[member.name] = member.size, digest.sha256.hexdigest()
                else:
                    yield member, None
            while source.read(_CHUNK):  # what fills up a tar
                pass
    except (tarfile.TarError, EOFError) as error:
        raise damaged() from error
    return _check(manifest, found)


def check(source: BinaryIO) -> tuple[list[str], int]:
    """Read a dump to its end, and give the pieces of the log that it holds, and the position in it where it ended.

    Raises:
        Trouble: when it is not whole.
    """
    walk = members(source)
    while True:
        try:
            next(walk)
        except StopIteration as end:
            log: tuple[list[str], int] = end.value
            return log


def _check(content: bytes, found: Mapping[str, tuple[int, str]]) -> tuple[list[str], int]:
    try:
        manifest: dict[str, Any] = json.loads(content)
        covered = content[: content.rindex(b'"Manifest-Checksum"')]
        wanted = dict(_wanted(manifest["Files"]))
        ranges = manifest["WAL-Ranges"]
        needed = [
            name for one in ranges for name in segments.between(one["Timeline"], one["Start-LSN"], one["End-LSN"])
        ]
        end = max(segments.position(one["End-LSN"]) for one in ranges)
    except (ValueError, KeyError, TypeError) as error:
        raise damaged() from error
    if hashlib.sha256(covered).hexdigest() != manifest["Manifest-Checksum"]:
        raise damaged()
    # The log itself goes on while files are read, and so is not in the manifest; each of its records has a checksum.
    there = {name: facts for name, facts in found.items() if name in wanted or not _LOG.fullmatch(name)}
    wrong = [name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name)]
    wrong += [name for name in needed if f"pg_wal/{name}" not in found]
    if wrong:
        raise Trouble(
            f"{len(wrong)} files are missing, altered or too much, such as {min(wrong)}.",
            f"{len(wrong)} 个文件缺失、被改动或多余。",
        )
    return sorted(needed), end


def _wanted(files: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, tuple[int, str]]]:
    for one in files:
        path = one["Path"] if "Path" in one else bytes.fromhex(one["Encoded-Path"]).decode()
        yield path, (one["Size"], one["Checksum"])


class _Digesting(io.RawIOBase):
    def __init__(self, source: Any) -> None:  # noqa: ANN401 tarfile's own
        self._source = source
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._source.read(len(buffer))
        self.sha256.update(data)
        buffer[: len(data)] = data
        return len(data)


class Chunks(io.RawIOBase):
    """What comes in chunks, as a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read on."""
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = memoryview(chunk)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size
