"""How errors of all kinds become problem details (RFC 9457).

What is logged says what kind of error it was and where, not in its own words: these may quote what residents said.
"""

import logging
import traceback
from http import HTTPStatus
from typing import Any, Final

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from linli.driver import LOST
from linli.idempotency import Replay
from linli.problems import (
    BadRequest,
    BeyondReach,
    Conflict,
    InternalError,
    MethodNotAllowed,
    NoSuchRoute,
    NotStorable,
    PreconditionFailed,
    Problem,
    Unavailable,
    UnknownUnit,
    Unprocessable,
    UnsupportedMediaType,
)
from linli.telemetry import trace_id

_log = logging.getLogger(__name__)

_LISTED: Final = 100
"""Wrong fields in one answer: a megabyte of mistakes is not answered with ten of explanations."""

_CHINESE: Final = {
    "missing": "缺少该字段",
    "extra_forbidden": "未知字段",
    "string_too_short": "内容过短",
    "string_too_long": "内容过长",
    "string_pattern_mismatch": "格式不符",
    "string_type": "应为文本",
    "int_type": "应为整数",
    "int_parsing": "应为整数",
    "bool_parsing": "应为布尔值",
    "uuid_parsing": "应为 UUID",
    "datetime_from_date_parsing": "应为日期时间",
    "datetime_parsing": "应为日期时间",
    "timezone_aware": "日期时间应带时区",
    "greater_than_equal": "数值过小",
    "less_than_equal": "数值过大",
    "greater_than": "数值过小",
    "less_than": "数值过大",
    "literal_error": "不是允许的取值",
    "enum": "不是允许的取值",
    "model_attributes_type": "应为 JSON 对象",
    "list_type": "应为数组",
    "too_long": "条目过多",
    "too_short": "条目过少",
}


_JSON: Final = "application/json without Content-Encoding"


def respond(problem: Problem) -> JSONResponse:
    """Answer with a problem."""
    return JSONResponse(
        problem.body(trace_id()), problem.status, problem.headers, media_type="application/problem+json"
    )


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    coding = request.headers.get("content-encoding", "identity").lower()
    return coding == "identity" and (kind == "application/json" or kind.endswith("+json"))


def _fields(error: RequestValidationError, request: Request) -> Problem:
    errors: list[dict[str, str]] = []
    for found in error.errors()[:_LISTED]:
        where, *path = found["loc"]
        if where == "body" and not path and found["type"] != "missing" and not _is_json(request):
            return UnsupportedMediaType(expected=_JSON)
        if found["type"] == "json_invalid":
            return BadRequest(reason="the body is not valid JSON (请求体不是有效的 JSON)")
        message = str(found["msg"]).removeprefix("Value error, ")
        entry = {"detail": message, "detail_zh": _CHINESE.get(found["type"], "内容不符合要求")}
        if where == "body":
            pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
            errors.append({"pointer": "#" + pointer, **entry})
        else:
            errors.append({"in": str(where), "parameter": str(path[0]) if path else "", **entry})
    return Unprocessable(errors=errors)


def _http(error: HTTPException, request: Request) -> Problem:
    match error.status_code:
        case 404:
            return NoSuchRoute()
        case 405:
            return MethodNotAllowed(method=request.method)
        case 415:
            return UnsupportedMediaType(expected=_JSON)
        case 400 if not _is_json(request):
            return UnsupportedMediaType(expected=_JSON)
        case 400:
            return BadRequest(reason="the body can't be read (请求体无法读取)")
    return BadRequest(reason=str(error.detail))


def _methods(request: Request) -> list[str]:
    """List what an address takes; the framework names the methods of the first of its routes only."""
    found = [
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]
    return ["HEAD", *found] if "GET" in found else found


_PASSING: Final = ("08", "53", "57P", "57014", "40001", "40P01", "55P03", "25006", "25P03")
"""SQLSTATEs of a database that is away, full, starting, too slow or in another's way: try again."""
_NOT_STORABLE: Final = ("22000", "22003", "22021", "22P05")
"""SQLSTATEs of a parameter that the driver refuses, a number out of range, and characters that are none."""
_OF_DATABASE: Final = (DBAPIError, PoolTimeout, *LOST, OSError)


def of_database(error: Exception) -> Problem:
    """Tell what an error of the database, or of the way to it, means to the caller."""
    cause = _cause(error)
    state = str(getattr(cause, "sqlstate", None) or "")
    if state in _NOT_STORABLE:
        return NotStorable()
    # What does not come from a statement comes from the way to the database. A statement prepared before a migration
    # is no longer good, and prepared anew the next time.
    on_the_way = not isinstance(error, DBAPIError) or error.connection_invalidated or not state
    if on_the_way or state.startswith(_PASSING) or isinstance(cause, asyncpg.exceptions.InvalidCachedStatementError):
        return Unavailable()
    if state == "42501":
        return BeyondReach()
    if state == "23503" and str(getattr(cause, "constraint_name", None)).endswith("known_unit"):
        return UnknownUnit(unit="?")
    if state.startswith("23"):
        return Conflict()
    return InternalError()


def _cause(error: Exception) -> BaseException:
    """Give the driver's error that SQLAlchemy has wrapped."""
    return ((error.orig and error.orig.__cause__) or error.orig or error) if isinstance(error, DBAPIError) else error


def _note(level: int, error: Exception) -> None:
    cause = _cause(error)
    facts = (type(cause).__name__, getattr(cause, "sqlstate", None), getattr(cause, "constraint_name", None))
    stack = "".join(traceback.format_tb(error.__traceback__))
    _log.log(level, " ".join(str(fact) for fact in facts if fact), extra={"stack": stack})
    _log.debug("in its own words", exc_info=error)


class LastResort:
    """Answers and logs what nobody has foreseen, before a server does so in the error's own words."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            _note(logging.ERROR, error)
            if begun:
                raise
            await respond(InternalError())(scope, receive, send)


def add_handlers(app: FastAPI) -> None:
    """Make the app answer every error as a problem."""

    async def on_problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)  # noqa: S101 registered for it
        return respond(error)

    async def on_replay(_: Request, error: Exception) -> Response:
        assert isinstance(error, Replay)  # noqa: S101 registered for it
        return error.response

    async def on_fields(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 registered for it
        return respond(_fields(error, request))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 registered for it
        response = respond(_http(error, request))
        response.headers.update(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["Allow"] = ", ".join(_methods(request))
        return response

    async def on_gone(_: Request, __: Exception) -> Response:
        return respond(BadRequest(reason="the body is not complete (请求体不完整)"))

    async def on_stale(_: Request, __: Exception) -> Response:
        return respond(PreconditionFailed(etag="another"))

    async def on_database(_: Request, error: Exception) -> Response:
        _note(logging.WARNING, error)
        return respond(of_database(error))

    handlers: dict[Any, Any] = {
        Problem: on_problem,
        Replay: on_replay,
        RequestValidationError: on_fields,
        HTTPException: on_http,
        ClientDisconnect: on_gone,
        StaleDataError: on_stale,
        **dict.fromkeys(_OF_DATABASE, on_database),
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    app.add_middleware(LastResort)
