"""The pages of the gateway: landing page, API documentation that works offline, and its error answers."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, ClassVar, Final

from fastapi import APIRouter, FastAPI
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from linli.errors import respond
from linli.problems import NoSuchRoute, Problem, TooManyRequests, Unavailable

router = APIRouter(include_in_schema=False)

_STATIC: Final = Path(str(files("directory") / "static"))
_SWAGGER_UI: Final = Path(str(files("fastapi_offline") / "static"))
_HEADERS: Final = {
    # Swagger UI puts its styles into the page; scripts come from files alone.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class BadGateway(Problem):
    """The service behind this address gave no proper answer. Try again in a few seconds."""

    status = 502
    title_zh = "网关错误"
    detail_zh = "该地址背后的服务没有正常响应，请稍后重试。"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "5"}


class GatewayTimeout(Problem):
    """The service behind this address took too long. Read how things stand before you repeat a change."""

    status = 504
    title_zh = "网关超时"
    detail_zh = "该地址背后的服务响应超时，重复修改前请先查询当前状态。"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "5"}


class GatewayBusy(TooManyRequests):
    """Too many requests from this client. Try again in {seconds} seconds."""

    detail_zh = "该客户端请求过于频繁，请在 {seconds} 秒后重试。"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


_ANSWERS: Final[dict[int, Callable[[], Problem]]] = {
    404: NoSuchRoute,
    429: lambda: GatewayBusy(seconds=1),
    502: BadGateway,
    503: Unavailable,
    504: GatewayTimeout,
}


@router.get("/")
async def landing() -> HTMLResponse:
    """Say what this is and where to go on."""
    return _page("index.html")


@router.get("/docs")
async def docs() -> HTMLResponse:
    """Show the interfaces of all services."""
    return _page("docs.html")


@router.get("/problems")
async def list_problems() -> HTMLResponse:
    """List the kinds of problems that answers may name in `type`."""
    return _page("problems.html")


@router.get("/problems/{status}")
async def gateway_answer(status: Annotated[int, PathParameter(ge=400, le=599)]) -> JSONResponse:
    """Answer as a problem what the gateway can't pass on."""
    return respond(_ANSWERS.get(status, NoSuchRoute)())


def _page(name: str) -> HTMLResponse:
    return HTMLResponse((_STATIC / name).read_text(), headers=_HEADERS)


def mount_assets(app: FastAPI) -> None:
    """Serve the pages' own scripts and styles, and Swagger UI as it came with its package: nothing from elsewhere."""
    app.mount("/docs/static", StaticFiles(directory=_STATIC), name="static")
    app.mount("/docs/swagger-ui", StaticFiles(directory=_SWAGGER_UI), name="swagger-ui")
