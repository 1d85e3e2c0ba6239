"""The console service, put together: no outbox, no broker, no keys; it takes telemetry in and shows it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from console import api, page, receiver
from console.forward import Forwarder
from console.otlp import LARGEST
from console.settings import ConsoleSettings
from console.writer import Writer
from linli import errors, health, openapi
from linli.caching import NotKept
from linli.db import create_engine, create_sessions
from linli.limits import BodyLimit, HeadAsGet
from linli.logs import log_as_json
from linli.problems import NoSuchRoute
from linli.security import Tokens


def create_app(settings: ConsoleSettings | None = None) -> FastAPI:
    """Build the service; settings come from the environment unless given."""
    settings = settings or ConsoleSettings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = create_engine(settings, "console")
        app.state.engines = {None: engine}
        app.state.sessions = create_sessions(app.state.engines, lambda _: None)
        app.state.tokens = Tokens(settings.jwks_url, settings.token_issuer, settings.token_audience)
        app.state.writer = Writer(settings)
        app.state.forwarder = Forwarder(settings.otlp_forward)
        app.state.streams = 0
        async with AsyncExitStack() as stack:
            stack.push_async_callback(engine.dispose)
            await stack.enter_async_context(app.state.forwarder.running())
            await stack.enter_async_context(app.state.writer.running())
            yield

    app = FastAPI(
        title="Linli console",
        version="1",
        lifespan=lifespan,
        openapi_url="/console/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
        responses=openapi.PROBLEM,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_middleware(BodyLimit, limit=LARGEST)
    app.add_middleware(HeadAsGet)
    errors.add_handlers(app)
    app.add_middleware(NotKept)
    app.include_router(health.router)
    app.include_router(receiver.router)
    app.include_router(api.router)

    @app.get("/console/v1/{address:path}", include_in_schema=False)
    async def _nothing(address: str) -> None:  # noqa: ARG001 whatever it is
        raise NoSuchRoute

    page.mount_assets(app)
    app.include_router(page.router)
    openapi.list_problems(app, "console")
    # Its own spans would come back to it, and make it send more of them.
    log_as_json("console", settings.log_level)
    return app
