"""The page itself: files that `make page` builds, nothing from elsewhere."""

from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

router = APIRouter(include_in_schema=False)

_STATIC: Final = Path(str(files("console") / "static"))
_HEADERS: Final = {
    # Ant Design puts its styles into the page; scripts come from files alone.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_MISSING: Final = (
    "The console's page is not built here; `make page` builds it. The API at /console/v1 works.\n"
    "控制台页面尚未构建，请运行 make page；接口 /console/v1 可用。\n"
)


class _Assets(StaticFiles):
    """Files with a hash in their name: they never change, so a browser need not ask again."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


@router.get("/console")
@router.get("/console/{address:path}")
async def page(address: str = "") -> Response:  # noqa: ARG001 which room it is, the page's own script reads
    """Give the page, whatever room of it is asked for."""
    index = _STATIC / "index.html"
    if not index.is_file():
        return PlainTextResponse(_MISSING, 503, _HEADERS)
    return HTMLResponse(index.read_text("utf-8"), headers=_HEADERS)


def mount_assets(app: FastAPI) -> None:
    """Serve the page's scripts, styles and pictures."""
    app.mount("/console/assets", _Assets(directory=_STATIC / "assets", check_dir=False), name="assets")
