"""The page that a place's QR code leads to."""

from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)

_STATIC: Final = Path(str(files("tickets") / "static"))
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@router.get("/tickets/r/{code}")
async def report(code: str) -> FileResponse:  # noqa: ARG001 the page itself reads it, and asks with the reporter's token
    """Show the form, which is the same for every code: it asks for its place, and reports, as who is signed in."""
    return FileResponse(_STATIC / "report.html", headers=_HEADERS)


def mount_assets(app: FastAPI) -> None:
    """Serve the page's own script and style."""
    app.mount("/tickets/r/static", StaticFiles(directory=_STATIC), name="static")
