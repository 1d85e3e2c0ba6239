"""Encryption of archives in the age format, which the `age` tools open too; streamed, so that size does not matter.

A passphrase is the exception: it is kept in memory while it is encrypted, and so bounded.
"""

import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import BinaryIO, Self, TypeVar

import pyrage
from pyrage import passphrase as by_passphrase
from pyrage.x25519 import Identity, Recipient

from linli_cli.console import Trouble

T = TypeVar("T")

_LARGEST_IN_MEMORY = 256 * 2**20
_TOO_LARGE = (
    "The archive is too large for a passphrase; encrypt it to a recipient.",
    "归档过大，不能使用口令加密，请使用收件人公钥。",
    "linli district key FILE",
)


@dataclass(frozen=True)
class Lock:
    """For whom an archive is encrypted."""

    recipients: tuple[Recipient, ...]
    passphrase: str = field(default="", repr=False)

    @classmethod
    def of(cls, recipients: list[str], recipient_file: Path | None, passphrase_file: Path | None) -> Self:
        """Read what the command line says.

        Raises:
            Trouble: when it says nothing, two things at once, or something that is no key.
        """
        words = [*recipients, *(_lines(recipient_file) if recipient_file else ())]
        if bool(words) == (passphrase_file is not None):
            raise Trouble(
                "Say whom the archive is encrypted for: --recipient, --recipient-file or --passphrase-file.",
                "请指定归档的加密方式：--recipient、--recipient-file 或 --passphrase-file。",
                hint="`linli district key FILE` makes a key and prints its recipient.  可先生成密钥。",
            )
        if passphrase_file:
            return cls((), _passphrase(passphrase_file))
        return cls(tuple(_parsed(Recipient.from_str, word, "recipient (age1...)", "收件人公钥") for word in words))

    @property
    def fingerprint(self) -> str:
        """Tell for whom, in eight digits: what has another one is opened by other keys."""
        return hashlib.sha256("\n".join(sorted(map(str, self.recipients))).encode()).hexdigest()[:8]

    @contextmanager
    def sealing(self, target: BinaryIO) -> Iterator[BinaryIO]:
        """Give a file to write to; what is written comes out encrypted at the target.

        Raises:
            Trouble: when the target can't be written.
        """
        if self.passphrase:
            plain = _Bounded()
            yield plain
            try:
                target.write(by_passphrase.encrypt(plain.getvalue(), self.passphrase))
            except OSError as error:
                raise _not_opened(error) from error
            return
        reading, writing = os.pipe()

        def encrypt() -> None:
            with os.fdopen(reading, "rb") as source:
                pyrage.encrypt_io(source, target, list(self.recipients))

        with _Worker(encrypt) as worker, worker.watched(), os.fdopen(writing, "wb") as file:
            yield file

    def sealed(self, content: bytes) -> bytes:
        """Encrypt something small."""
        target = io.BytesIO()
        with self.sealing(target) as plain:
            plain.write(content)
        return target.getvalue()


@dataclass(frozen=True)
class Key:
    """What opens an archive."""

    identities: tuple[Identity, ...] = field(repr=False)
    passphrase: str = field(default="", repr=False)

    @classmethod
    def of(cls, identity_file: Path | None, passphrase_file: Path | None) -> Self:
        """Read what the command line says.

        Raises:
            Trouble: when it says nothing, two things at once, or something that is no key.
        """
        if (identity_file is None) == (passphrase_file is None):
            raise Trouble(
                "Say what opens the archive: --identity-file or --passphrase-file.",
                "请指定解密方式：--identity-file 或 --passphrase-file。",
            )
        if passphrase_file:
            return cls((), _passphrase(passphrase_file))
        assert identity_file  # noqa: S101 one of the two
        words = _lines(identity_file)
        return cls(tuple(_parsed(Identity.from_str, word, "identity (AGE-SECRET-KEY-1...)", "私钥") for word in words))

    @contextmanager
    def opening(self, source: BinaryIO) -> Iterator[BinaryIO]:
        """Give a file to read the decrypted archive from.

        Raises:
            Trouble: when the key does not open it, or it is damaged.
        """
        if self.passphrase:
            sealed = source.read(2 * _LARGEST_IN_MEMORY)
            try:
                plain = _decrypted(sealed, self.passphrase)
            except pyrage.DecryptError as error:
                raise _not_opened(error) from error
            yield io.BytesIO(plain)
            return
        reading, writing = os.pipe()

        def decrypt() -> None:
            with os.fdopen(writing, "wb") as target:
                pyrage.decrypt_io(source, target, list(self.identities))

        with _Worker(decrypt) as worker, worker.watched(), os.fdopen(reading, "rb") as file:
            yield file
            while file.read(2**20):  # to the end: only there it is known that nothing was cut off
                pass

    def opened(self, sealed: bytes) -> bytes:
        """Decrypt something small.

        Raises:
            Trouble: when the key does not open it, or it is damaged.
        """
        with self.opening(io.BytesIO(sealed)) as plain:
            return plain.read()


class _Worker:
    """A thread that encrypts or decrypts, and whose failure is the cause of whatever else then fails."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._failure: Exception | None = None
        self._thread = Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 raised where it is waited for
            self._failure = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Raise what the thread failed with, rather than what that led to here."""
        try:
            yield
        except Exception:
            self._thread.join()
            # A broken pipe is our own doing: nobody reads on after an error.
            if self._failure and "roken pipe" not in str(self._failure):
                raise _not_opened(self._failure) from self._failure
            raise
        self._thread.join()
        if self._failure:
            raise _not_opened(self._failure) from self._failure


class _Bounded(io.BytesIO):
    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        if self.tell() + len(data) > _LARGEST_IN_MEMORY:
            english, chinese, hint = _TOO_LARGE
            raise Trouble(english, chinese, hint=hint)
        return super().write(data)


def _decrypted(sealed: bytes, passphrase: str, looks: int = 10) -> bytes:
    """Decrypt with a passphrase.

    How much work it may take is told from how fast this machine is at that moment: where others kept it busy just
    then, an archive of its own would be taken for one that is to keep it busy for hours.
    """
    try:
        plain: bytes = by_passphrase.decrypt(sealed, passphrase)
    except pyrage.DecryptError as error:
        if looks == 1 or "Excessive work" not in str(error):
            raise
    else:
        return plain
    time.sleep(0.1)
    return _decrypted(sealed, passphrase, looks - 1)


def _not_opened(error: Exception) -> Trouble:
    if isinstance(error, pyrage.DecryptError) and "keys" in str(error).lower():
        return Trouble("This key does not open the archive.", "该密钥无法打开此归档。")
    if isinstance(error, OSError) and error.errno:
        return Trouble(f"The archive can't be read or written: {error.strerror}.", "归档无法读写。")
    return Trouble(
        f"The archive is damaged, cut off, or this is not its key ({error}).", "归档已损坏、不完整，或密钥不符。"
    )


def _lines(file: Path) -> list[str]:
    words = [line.strip() for line in _read(file).splitlines()]
    return [word for word in words if word and not word.startswith("#")]


def _passphrase(file: Path) -> str:
    found = _read(file).strip("\r\n")
    if not found:
        raise Trouble(f"{file} is empty.", f"{file} 为空。")
    return found


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Trouble(f"{file} can't be read.", f"无法读取 {file}。") from error


def _parsed(parse: Callable[[str], T], word: str, english: str, chinese: str) -> T:
    try:
        return parse(word)
    except (pyrage.RecipientError, pyrage.IdentityError):
        # Not quoted: it may be a secret put where a public key belongs.
        raise Trouble(f"That is no {english}.", f"不是有效的{chinese}。") from None
