"""The HTTP client of every command: tokens, patience with a busy platform, idempotency keys, readable errors."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx

from linli_cli.console import Trouble

Login = Callable[[], Awaitable[str]]
"""Gives an access token that is valid now."""

_PATIENCE = 60.0
"""Seconds after which a request that was put off again and again is given up."""
_RESTART = 5.0
"""Seconds a killed gateway may need to be back; after that it is taken for down."""
_LONGEST_PAUSE = 5.0
_PUT_OFF = {429, 503}
_LOST = {502, 504}
"""The gateway could not tell whether the service acted; asking again is safe for all but PATCH."""


class ApiProblem(Trouble):
    """The platform refused a request; the facts are in its problem details (RFC 9457).

    Attributes:
        status: of the answer.
        put_off: whether the same request may do better in a moment.
        body: the details; empty when the answer has none.
    """

    def __init__(self, response: httpx.Response) -> None:
        try:
            found = response.json()
        except ValueError:
            found = {}
        self.status = response.status_code
        self.put_off = _put_off(response)
        self.body: dict[str, Any] = found if isinstance(found, dict) else {}
        title = self.body.get("title", response.reason_phrase)
        fields = [f"{one.get('pointer', '')}: {one.get('detail', '')}" for one in self.body.get("errors", ())]
        request = f"{response.request.method} {response.request.url.path}"
        super().__init__(
            f"{request} → {self.status} {title}: {self.body.get('detail', '')}",
            f"{self.body.get('title_zh', '')} {self.body.get('detail_zh', '')}".strip(),
            hint="\n".join([*fields, f"trace {self.body['trace_id']}"] if "trace_id" in self.body else fields),
        )


class Api:
    """Calls the platform through its gateway.

    >>> async with Api(home.url) as api:
    ...     warden = api.by(login)
    ...     ticket = (await warden.post("/tickets/v1/tickets", {...})).json()
    """

    def __init__(self, url: str, login: Login | None = None, *, client: httpx.AsyncClient | None = None) -> None:
        self._client = client or httpx.AsyncClient(base_url=url, timeout=30, trust_env=False)
        self._url = url
        self._login = login

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    def by(self, login: Login) -> "Api":
        """Give the same connections in somebody else's name."""
        return Api(self._url, login, client=self._client)

    async def get(self, path: str, **params: str | int) -> httpx.Response:
        """Read."""
        return await self.request("GET", path, params=params)

    async def post(self, path: str, body: object, *, key: str | None = None) -> httpx.Response:
        """Create or act, once: a repetition after a lost answer carries the same key.

        Args:
            path: from the gateway's root.
            body: what becomes JSON.
            key: an Idempotency-Key that also holds for a later run of the command.
        """
        return await self.request("POST", path, json=body, headers={"Idempotency-Key": key or str(uuid4())})

    async def put(self, path: str, body: object) -> httpx.Response:
        """Set."""
        return await self.request("PUT", path, json=body)

    async def patch(self, path: str, body: object, *, etag: str) -> httpx.Response:
        """Change what was read with this ETag."""
        return await self.request("PATCH", path, json=body, headers={"If-Match": etag})

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 httpx's own
        """Send a request, again while the platform is busy or restarts.

        Raises:
            ApiProblem: when it is refused.
            Trouble: when nobody answers.
        """
        headers = dict(options.pop("headers", None) or {})
        began = time.monotonic()
        attempt = 0
        while True:
            if self._login:
                headers["Authorization"] = f"Bearer {await self._login()}"
            waited = time.monotonic() - began
            pause = 0.0
            try:
                response = await self._client.request(method, path, headers=headers, **options)
            except httpx.ConnectError as error:
                if waited > _RESTART:
                    raise Trouble(
                        f"Nobody answers at {self._url}.",
                        f"{self._url} 没有响应。",
                        hint="Is the platform up? `make doctor`, `make up`.  请检查平台是否已启动。",
                    ) from error
            except httpx.TransportError as error:
                if method == "PATCH" or waited > _PATIENCE:
                    raise Trouble(f"{method} {path}: {str(error) or type(error).__name__}.", "连接中断。") from error
            else:
                if not _put_off(response) or waited > _PATIENCE:
                    break
                pause = _asked_for(response)
            attempt += 1
            # Jitter, so that many who were put off together do not come back together.
            backoff = random.uniform(0.5, 1) * min(0.1 * 2**attempt, _LONGEST_PAUSE)  # noqa: S311 guards no secret
            await asyncio.sleep(max(pause, backoff))
        if response.is_error:
            raise ApiProblem(response)
        return response


def _put_off(response: httpx.Response) -> bool:
    """Tell whether the same request may do better in a moment."""
    status = response.status_code
    if status == HTTPStatus.CONFLICT:
        # An earlier try, whose answer was lost, is still being worked on.
        return "Retry-After" in response.headers
    if status == HTTPStatus.NOT_FOUND:
        # A gateway that has just started knows no routes yet, and says so in words of its own.
        return "json" not in response.headers.get("Content-Type", "")
    return status in (_PUT_OFF if response.request.method == "PATCH" else _PUT_OFF | _LOST)


def _asked_for(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), _LONGEST_PAUSE) if text.isdigit() else 0.0
