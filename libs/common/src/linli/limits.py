"""How much a request may carry."""

import re
from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from linli.errors import respond
from linli.problems import BodyTooLarge

BODY: Final = 1024 * 1024


class HeadAsGet:
    """Answers HEAD as it would GET; the server leaves the body out (RFC 9110)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        await self._app({**scope, "method": "GET"} if scope.get("method") == "HEAD" else scope, receive, send)


class BodyLimit:
    """Refuses bodies over 1 MiB: at once by their announced length, and while reading where none is announced.

    Args:
        app: what the others are for.
        limit: bytes, where it is not 1 MiB.
        larger: patterns of the few paths that take more, and how many bytes.
    """

    def __init__(self, app: ASGIApp, limit: int = BODY, larger: Mapping[str, int] | None = None) -> None:
        self._app = app
        self._limit = limit
        self._larger = [(re.compile(path), most) for path, most in (larger or {}).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body counted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = next((most for path, most in self._larger if path.fullmatch(scope["path"])), self._limit)
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or len(announced) > len(str(limit)) or int(announced) > limit:
            await respond(BodyTooLarge(limit=limit))(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise BodyTooLarge(limit=limit)
            return message

        async def unless_too_large(message: Message) -> None:
            if read <= limit:
                await send(message)

        # The framework turns an error while reading into its own 400, which is held back here.
        await self._app(scope, counted, unless_too_large)
        if read > limit:
            await respond(BodyTooLarge(limit=limit))(scope, receive, send)
