"""What every service is made of: one call gives it transactions, tokens, events, telemetry, health and problems."""

import gc
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncSession

from linli import deadletters, errors, health, known_units, openapi, telemetry, units
from linli.asyncapi import asyncapi
from linli.caching import NotKept
from linli.clockwork import Clockwork
from linli.consumer import consuming
from linli.db import BY_SCOPE, Scope, create_engine, create_sessions, transaction
from linli.events import Event
from linli.idempotency import Claim, Router, Safe, asked, key_of
from linli.inbox import Subscriptions
from linli.limits import BodyLimit, HeadAsGet
from linli.problems import OutsideScope, Problem
from linli.relay import Relay
from linli.security import Caller, Principal, Tokens, caller_of
from linli.settings import Settings
from linli.shards import Server
from linli.timers import Timers
from linli.units import UnitCode

__all__ = [
    "DistrictTransaction",
    "KeyedTransaction",
    "OwnTransaction",
    "PublicWithin",
    "Router",
    "Transaction",
    "Transactions",
    "Within",
    "asked",
    "service",
]


_GARBAGE: Final = 10_000
"""Objects that are made before the new ones are looked through for garbage."""


@asynccontextmanager
async def _begun(
    request: Request, caller: Principal, scope: Scope, server: Server = BY_SCOPE
) -> AsyncIterator[AsyncSession]:
    key = key_of(request) if request.method == "POST" else None
    if key:
        await request.body()  # before a connection is taken: however slowly it comes, it holds none
    sessions = request.app.state.sessions
    try:
        async with transaction(sessions, scope, server) as session:
            if key:
                request.state.claim = await Claim.of(session, request, caller, key)
            yield session
    except Problem as problem:
        if problem.note is not None:
            async with transaction(sessions, scope, server) as session:
                await problem.note(session)
        raise


async def _scoped(request: Request) -> AsyncIterator[AsyncSession]:
    caller = await caller_of(request)
    async with _begun(request, caller, caller.scope) as session:
        yield session


async def _own(request: Request) -> AsyncIterator[AsyncSession]:
    caller = await caller_of(request)
    async with _begun(request, caller, caller.own) as session:
        yield session


async def _keyed(request: Request) -> AsyncIterator[AsyncSession]:
    caller = await caller_of(request)
    # What department staff may see is asked of other tables with each statement: no plan is good for all of them.
    scope = replace(caller.scope, keeps_plans=not caller.scope.called)
    async with _begun(request, caller, scope) as session:
        yield session


# scope="function": since FastAPI 0.118 a commit after the response was sent would answer 201 for what failed.
Transaction = Annotated[AsyncSession, Depends(_scoped, scope="function")]
"""The request's transaction, seeing what the caller's token covers; commits before the answer leaves."""
KeyedTransaction = Annotated[AsyncSession, Depends(_keyed, scope="function")]
"""The same for what finds all its rows by their keys: the database plans each statement once, whoever asks."""
OwnTransaction = Annotated[AsyncSession, Depends(_own, scope="function")]
"""The same, seeing only what is the caller's own, whatever the role."""


async def _within(
    caller: Caller, within: Annotated[UnitCode | None, Query(description="At or below this unit (所在单元)")] = None
) -> int | None:
    if within is not None:
        caller.must_cover(within)
    return within


Within = Annotated[int | None, Depends(_within)]
"""The query parameter `within` of a list: a unit inside the caller's scope, 403 for any other."""


async def _within_public(
    caller: Caller, within: Annotated[UnitCode | None, Query(description="At or below this unit (所在单元)")] = None
) -> int | None:
    if within is not None and not caller.scope.lo <= within <= caller.scope.hi:
        raise OutsideScope(unit=units.short(within))
    return within


PublicWithin = Annotated[int | None, Depends(_within_public)]
"""The same for what is public in a district: residents and grid workers may look in all of theirs."""


async def _in_district(request: Request, caller: Caller, district: UnitCode) -> AsyncIterator[AsyncSession]:
    caller.must_cover(district)
    async with _begun(request, caller, caller.scope.within(district)) as session:
        yield session


DistrictTransaction = Annotated[AsyncSession, Depends(_in_district, scope="function")]
"""The request's transaction in the `{district}` of its address, for callers who cover many; 403 for any other."""


async def _everywhere(request: Request, caller: Caller, within: Within) -> AsyncIterator[list[AsyncSession]]:
    scope = caller.scope if within is None else caller.scope.within(within)
    first, *others = request.app.state.settings.shards.servers if scope.wide else (BY_SCOPE,)
    async with AsyncExitStack() as stack:
        # It holds the Idempotency-Key and commits last: nothing is answered that was not done.
        sessions = [await stack.enter_async_context(_begun(request, caller, scope, first))]
        for server in others:
            other = transaction(request.app.state.sessions, scope, server)
            sessions.append(await stack.enter_async_context(other))
        yield sessions


Transactions = Annotated[list[AsyncSession], Depends(_everywhere, scope="function")]
"""A transaction on every database server that the caller's scope reaches, or the query parameter `within` inside of it.

For what the platform's operators look for in all districts; with one server, or one district, it is one.
"""


def service(  # noqa: PLR0913 what a service is made of
    name: str,
    settings: Settings,
    *,
    routers: Sequence[APIRouter],
    subscriptions: Subscriptions | None = None,
    publishes: Sequence[type[Event]] = (),
    timers: Timers | None = None,
    larger: Mapping[str, int] | None = None,
) -> FastAPI:
    """Build a service.

    Args:
        name: its name, which is also the first part of its addresses, its database and its stream.
        settings: where its database, broker and keys are.
        routers: its routes, at `/<name>/v1/...`.
        subscriptions: what it does when others tell of something.
        publishes: the events it tells of.
        timers: what it does when a clock runs out.
        larger: patterns of the few paths whose requests may carry more than 1 MiB, and how many bytes.

    Returns:
        An app whose lifespan connects everything and ends without losing what was begun.
    """
    subscriptions = subscriptions or Subscriptions(name)
    timers = timers or Timers(name)
    safe = Safe(settings.master_key.get_secret_value())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        servers = settings.shards.servers
        engines = {server: create_engine(settings, name, server) for server in servers}
        relays = {server: Relay(name, settings, server) for server in servers}
        sessions = create_sessions(engines, lambda server: relays[server].wake(), settings.shards)
        app.state.engines = engines
        app.state.sessions = sessions
        app.state.tokens = Tokens(settings.jwks_url, settings.token_issuer, settings.token_audience)
        app.state.settings = settings
        app.state.safe = safe
        async with AsyncExitStack() as stack:
            for engine in engines.values():
                telemetry.watch_engine(engine)
                stack.push_async_callback(engine.dispose)
            for relay in relays.values():
                await stack.enter_async_context(relay.running())
            await stack.enter_async_context(consuming(name, settings, sessions, subscriptions))
            for server in servers if timers.kinds else ():
                await stack.enter_async_context(Clockwork(name, settings, server, sessions, timers).running())
            # What is there by now stays: looking through it for garbage again and again was a tenth of each request.
            if not gc.get_freeze_count():
                gc.collect()
                gc.freeze()
                gc.set_threshold(_GARBAGE, 20, 20)
            yield

    app = FastAPI(
        title=f"Linli {name}",
        version="1",
        lifespan=lifespan,
        openapi_url=f"/{name}/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
        responses=openapi.PROBLEM,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # linli.requests does it for less
    )
    app.add_middleware(BodyLimit, larger=larger)
    app.add_middleware(HeadAsGet)
    errors.add_handlers(app)
    app.add_middleware(NotKept)
    for router in routers:  # first: each router costs a little to pass by
        app.include_router(router)
    app.include_router(health.router)
    if subscriptions.known_units:
        app.include_router(known_units.router(name))
    app.include_router(deadletters.router(name, subscriptions))
    openapi.list_problems(app, name)
    document: dict[str, Any] = asyncapi(name, publishes, subscriptions)

    @app.get(f"/{name}/v1/asyncapi.json", include_in_schema=False)
    async def _asyncapi() -> JSONResponse:
        return JSONResponse(document)

    telemetry.setup(name, settings, app)
    return app
