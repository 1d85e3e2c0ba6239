"""How Open311 GeoReport v2 is written: XML or JSON of the same things, and errors as it specifies them."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from xml.etree import ElementTree as ET

from fastapi import Response
from pydantic import BaseModel
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ROOT: Final = "/tickets/open311/"
_ITEMS: Final = {
    "services": "service",
    "service_requests": "request",
    "service_request_updates": "request_update",
    "errors": "error",
    "attributes": "attribute",
    "values": "value",
    "endpoints": "endpoint",
    "formats": "format",
}
"""What XML calls the members of each list."""
_UNWRITABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BAD_REQUEST: Final[dict[int, int]] = {409: 400, 412: 400, 415: 400, 422: 400, 428: 400}
"""The specification knows one status for what can't be done as it was asked."""


class Form(StrEnum):
    """How an answer is written."""

    XML = "xml"
    JSON = "json"

    @property
    def media_type(self) -> str:
        """What HTTP calls it."""
        return "text/xml" if self is Form.XML else "application/json"


def writable(text: str) -> str:
    """Put a question mark for each character that XML can't hold."""
    return _UNWRITABLE.sub("\ufffd", text)


def respond(form: Form, root: str, content: BaseModel | list[Any], status: int = 200) -> Response:
    """Answer in the form asked for.

    Args:
        form: XML or JSON.
        root: what XML calls the whole.
        content: a model, or a list of models.
        status: of the answer.
    """
    plain = [_plain(one) for one in content] if isinstance(content, list) else _plain(content)
    if form is Form.JSON:
        body = json.dumps(plain, ensure_ascii=False).encode()
    else:
        body = ET.tostring(_element(root, plain), encoding="utf-8", xml_declaration=True)
    return Response(body, status, media_type=f"{form.media_type}; charset=utf-8")


def _plain(content: Any) -> Any:  # noqa: ANN401 what JSON can say
    return content.model_dump(mode="json", exclude_unset=True) if isinstance(content, BaseModel) else content


def _element(name: str, content: Any) -> ET.Element:  # noqa: ANN401 as above
    element = ET.Element(name)
    if isinstance(content, Mapping):
        element.extend(_element(key, value) for key, value in content.items())
    elif isinstance(content, list):
        element.extend(_element(_ITEMS[name], one) for one in content)
    elif isinstance(content, bool):
        element.text = str(content).lower()
    elif content is not None:
        element.text = writable(str(content))
    return element


def w3c(moment: datetime) -> str:
    """Write a time as the specification shows it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class ErrorsAsSpecified:
    """Turns the problems of addresses under `/tickets/open311/` into GeoReport's arrays of code and description."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http" or not scope["path"].startswith(ROOT):
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def turning(message: Message) -> None:
            begins = message["type"] == "http.response.start"
            if begins and Headers(raw=message["headers"]).get("content-type") == "application/problem+json":
                held.append(message)
            elif held:
                held.append(message)
                if not message.get("more_body"):
                    await _turned(scope["path"], held, send)
            else:
                await send(message)

        await self._app(scope, receive, turning)


async def _turned(path: str, messages: list[Message], send: Send) -> None:
    start, *parts = messages
    said_status: int = start["status"]
    problem = json.loads(b"".join(part.get("body", b"") for part in parts))
    status = _BAD_REQUEST.get(said_status, said_status)
    said = [
        f"{wrong.get('parameter') or wrong.get('pointer', '#')[2:]}: {wrong['detail']} {wrong['detail_zh']}"
        for wrong in problem.get("errors", ())
    ] or [f"{problem['detail']} {problem['detail_zh']}"]
    form = Form.JSON if path.endswith(".json") else Form.XML
    answer = respond(form, "errors", [{"code": status, "description": one} for one in said], status)
    headers = MutableHeaders(raw=start["headers"])
    headers["Content-Type"] = answer.headers["content-type"]
    headers["Content-Length"] = answer.headers["content-length"]
    await send({**start, "status": status, "headers": headers.raw})
    await send({"type": "http.response.body", "body": bytes(answer.body)})
