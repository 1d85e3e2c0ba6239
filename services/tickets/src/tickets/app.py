"""The tickets service, put together."""

import asyncio
from functools import partial

from fastapi import FastAPI

from linli import personal
from linli.crypto import Keyring, MasterKeys
from linli.events import catalogue
from linli.service import service
from linli.settings import Settings
from tickets import clocks, sight, subscribers
from tickets.api import (
    calendar,
    case_parts,
    case_teams,
    case_tickets,
    cases,
    categories,
    departments,
    errands,
    figures,
    files,
    intake,
    lists,
    moves,
    open311,
    open311_keys,
    pages,
    places,
    projects,
    tickets,
    whistles,
    wishes,
)
from tickets.files import Store
from tickets.georeport import ErrorsAsSpecified
from tickets.operations.files import SWEEP, sweep


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the service; settings come from the environment unless given."""
    settings = settings or Settings()
    sight.narrow()
    store = Store(settings.files)
    app = service(
        "tickets",
        settings,
        routers=[
            intake.router,  # first, as it is asked for most
            moves.router,
            categories.router,
            calendar.router,
            tickets.router,
            files.router,
            places.router,
            pages.router,
            open311.router,
            open311_keys.router,
            wishes.router,
            case_teams.router,
            cases.router,
            case_parts.router,
            case_tickets.router,
            errands.router,
            lists.router,
            projects.router,
            figures.router,  # before departments: one of its addresses lies below theirs
            departments.router,
            whistles.router,
            personal.router("tickets"),
        ],
        subscriptions=subscribers.subscriptions,
        publishes=[event for event in catalogue() if event.publisher == "tickets"],
        timers=clocks.timers.also(SWEEP, partial(sweep, store=store)),
        larger={files.UPLOAD: files.LARGEST},
    )
    app.state.files = store
    pages.mount_assets(app)
    app.add_middleware(ErrorsAsSpecified)
    app.state.open311_readers = asyncio.Semaphore(open311.READERS)
    app.state.keyring = Keyring(MasterKeys(settings.master_key.get_secret_value()))
    return app
