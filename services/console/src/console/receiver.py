"""Where services send their telemetry: OTLP over HTTP, inside of the platform only; the gateway leads nobody here."""

from typing import TYPE_CHECKING, ClassVar, Final

from fastapi import APIRouter, Request, Response

from console import otlp
from console.forward import Export, Forwarder
from linli.problems import TooManyRequests, UnsupportedMediaType

if TYPE_CHECKING:
    from console.writer import Writer

router = APIRouter(prefix="/otlp/v1", include_in_schema=False)

_PROTOBUF: Final = "application/x-protobuf"
_CODINGS: Final = ("identity", "gzip")


class TelemetryBusy(TooManyRequests):
    """More telemetry comes in than can be written. Send it again later, or drop it."""

    title_zh = "遥测数据过多"
    detail_zh = "遥测数据写入繁忙，请稍后重试或丢弃。"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


@router.post("/traces")
async def take_traces(request: Request) -> Response:
    """Take spans."""
    export = await _read(request, "traces")
    body = otlp.unpack(export.body, export.coding)
    return _keep(request, otlp.parse_traces(body), len(body), export)


@router.post("/logs")
async def take_logs(request: Request) -> Response:
    """Take log lines."""
    export = await _read(request, "logs")
    body = otlp.unpack(export.body, export.coding)
    return _keep(request, otlp.parse_logs(body), len(body), export)


@router.post("/metrics")
async def take_metrics(request: Request) -> Response:
    """Take metrics for whoever collects them; none are kept here."""
    _forwarder(request).take(await _read(request, "metrics"))
    return _taken()


async def _read(request: Request, signal: str) -> Export:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if kind != _PROTOBUF or coding not in _CODINGS:
        raise UnsupportedMediaType(expected=f"{_PROTOBUF}, with Content-Encoding gzip or none")
    return Export(signal, await request.body(), coding)


def _keep(request: Request, message: otlp.Traces | otlp.Logs, size: int, export: Export) -> Response:
    writer: Writer = request.app.state.writer
    if not writer.take(message, size):
        raise TelemetryBusy
    _forwarder(request).take(export)
    return _taken()


def _forwarder(request: Request) -> Forwarder:
    forwarder: Forwarder = request.app.state.forwarder
    return forwarder


def _taken() -> Response:
    return Response(b"", media_type=_PROTOBUF)  # an empty message: all of it was taken
