"""How much a request may carry."""

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
    """Refuses bodies over 1 MiB: at once by their announced length, and while reading where none is announced."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body counted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or len(announced) > len(str(BODY)) or int(announced) > BODY:
            await respond(BodyTooLarge(limit=BODY))(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > BODY:
                raise BodyTooLarge(limit=BODY)
            return message

        async def unless_too_large(message: Message) -> None:
            if read <= BODY:
                await send(message)

        # The framework turns an error while reading into its own 400, which is held back here.
        await self._app(scope, counted, unless_too_large)
        if read > BODY:
            await respond(BodyTooLarge(limit=BODY))(scope, receive, send)
