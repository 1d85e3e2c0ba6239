"""How errors of all kinds become problem details (RFC 9457)."""

import logging
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException

from linli.idempotency import Replay
from linli.problems import (
    BadRequest,
    Conflict,
    Forbidden,
    InternalError,
    MethodNotAllowed,
    NoSuchRoute,
    PreconditionFailed,
    Problem,
    Unavailable,
    UnknownUnit,
    Unprocessable,
    UnsupportedMediaType,
)
from linli.telemetry import trace_id

_log = logging.getLogger(__name__)

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


def respond(problem: Problem) -> JSONResponse:
    """Answer with a problem."""
    return JSONResponse(
        problem.body(trace_id()), problem.status, problem.headers, media_type="application/problem+json"
    )


def _fields(error: RequestValidationError) -> Problem:
    errors: list[dict[str, str]] = []
    for found in error.errors():
        if found["type"] == "json_invalid":
            return BadRequest(reason="the body is not valid JSON (请求体不是有效的 JSON)")
        where, *path = found["loc"]
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
            return UnsupportedMediaType(expected="application/json")
        case 400:
            return BadRequest(reason="the body can't be read (请求体无法读取)")
    return BadRequest(reason=str(error.detail))


_UNREACHABLE: Final = ("08", "53", "57P", "57014", "40001", "40P01", "55P03", "25006", "25P03")
"""SQLSTATEs of a database that is away, full, starting, too slow or in another's way: try again."""


def of_database(error: DBAPIError) -> Problem:
    """Tell what a database error means to the caller."""
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if error.connection_invalidated or not state or state.startswith(_UNREACHABLE):
        return Unavailable()
    if state == "42501":
        return Forbidden(permission="scope")
    constraint = str(getattr(getattr(error.orig, "__cause__", None), "constraint_name", None) or "")
    if state == "23503" and constraint.endswith("known_unit"):
        return UnknownUnit(unit="?")
    if state.startswith("23"):
        return Conflict()
    return InternalError()


def add_handlers(app: FastAPI) -> None:
    """Make the app answer every error as a problem."""

    async def on_problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)  # noqa: S101 registered for it
        return respond(error)

    async def on_replay(_: Request, error: Exception) -> Response:
        assert isinstance(error, Replay)  # noqa: S101 registered for it
        return error.response

    async def on_fields(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 registered for it
        return respond(_fields(error))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 registered for it
        response = respond(_http(error, request))
        response.headers.update(error.headers or {})
        return response

    async def on_stale(_: Request, __: Exception) -> Response:
        return respond(PreconditionFailed(etag="another"))

    async def on_database(_: Request, error: Exception) -> Response:
        problem = of_database(error) if isinstance(error, DBAPIError) else Unavailable()
        if isinstance(problem, Unavailable | InternalError | Conflict):
            _log.warning("database error", exc_info=error)
        return respond(problem)

    async def on_any(_: Request, error: Exception) -> Response:
        _log.error("unhandled error", exc_info=error)
        return respond(InternalError())

    handlers: dict[Any, Any] = {
        Problem: on_problem,
        Replay: on_replay,
        RequestValidationError: on_fields,
        HTTPException: on_http,
        StaleDataError: on_stale,
        DBAPIError: on_database,
        PoolTimeout: on_database,
        OSError: on_database,
        TimeoutError: on_database,
        Exception: on_any,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
