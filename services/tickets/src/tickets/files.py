"""Where photos and files are kept (附件存储): a folder, or a bucket of any S3-compatible store.

Objects are written once and never changed. Nothing but this module knows what kind of store it is.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Final

import obstore
from obstore.exceptions import BaseError, NotFoundError

from linli.objects import Objects, open_objects
from linli.problems import Unavailable
from tickets.pictures import Content, examine

log = logging.getLogger(__name__)

THUMBNAIL: Final = ".thumbnail"
"""What the name of a picture's thumbnail ends with."""
_WITHIN: Final = timedelta(seconds=15)
_WAIT: Final = 20.0


class NoPlaceForFiles(Unavailable):
    """The operator has said nowhere to keep files (LINLI_FILES), so none are taken."""

    title_zh = "未配置文件存储"
    detail_zh = "平台尚未配置文件存储（LINLI_FILES），暂不能上传。"


class Store:
    """Keeps files under names.

    Args:
        address: a folder, as a path or `file:///path`, or `s3://bucket/prefix`, whose keys and endpoint come from the
            usual `AWS_...` variables; empty for none.
    """

    def __init__(self, address: str) -> None:
        self._objects = open_objects(address, within=_WITHIN) if address else None
        # Drawing a picture anew takes memory: one at a time, and nobody holds a connection while he waits.
        self._drawing = asyncio.Semaphore(1)
        # What is being received lies in /tmp, where a container has room for six of the largest.
        self._receiving = asyncio.Semaphore(5)

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[None]:
        """Wait until there is room to receive a file.

        Raises:
            NoPlaceForFiles: 503.
            Unavailable: 503, when others are still being received.
        """
        if self._objects is None:
            raise NoPlaceForFiles
        try:
            async with asyncio.timeout(_WAIT):
                await self._receiving.acquire()
        except TimeoutError:
            raise Unavailable from None
        try:
            yield
        finally:
            self._receiving.release()

    async def keep(self, name: str, file: BinaryIO) -> Content:
        """Keep a file, and its thumbnail if it is a picture; they are there, whole, when this returns.

        Raises:
            NoSuchKind: 415.
            TooManyPixels: 413.
            Unavailable: 503.
        """
        async with self._drawing:
            content = await asyncio.to_thread(examine, file)
        await self._put(name, content.body)
        if content.thumbnail:
            await self._put(name + THUMBNAIL, content.thumbnail)
        return content

    async def read(self, name: str, *, thumbnail: bool = False) -> AsyncIterator[bytes]:
        """Give a file in pieces; the first is there when this returns.

        Raises:
            Unavailable: 503.
        """
        with self._reached() as objects:
            found = await obstore.get_async(objects.store, name + THUMBNAIL * thumbnail)

        async def pieces() -> AsyncIterator[bytes]:
            async for piece in found.stream():
                yield bytes(piece)

        return pieces()

    async def delete(self, name: str) -> None:
        """Delete a file and its thumbnail, whether they are there or not.

        Raises:
            Unavailable: 503.
        """
        for one in (name, name + THUMBNAIL):
            with self._reached() as objects, suppress(FileNotFoundError, NotFoundError):
                await obstore.delete_async(objects.store, one)

    async def _put(self, name: str, content: bytes) -> None:
        with self._reached() as objects:
            await obstore.put_async(objects.store, name, content)
            if objects.folder:
                await asyncio.to_thread(_settle, objects.folder / name, objects.folder)

    @contextmanager
    def _reached(self) -> Iterator[Objects]:
        if self._objects is None:
            raise NoPlaceForFiles
        try:
            yield self._objects
        except (OSError, BaseError) as error:
            log.warning("the store of files: %s", type(error).__name__)
            raise Unavailable from error


def _settle(file: Path, folder: Path) -> None:
    """Have the disk keep a new file, and the folders that were made for it, as the database keeps its row."""
    for path in (file, *(above for above in file.parents if above.is_relative_to(folder))):
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
