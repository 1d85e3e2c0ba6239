"""The tickets service, put together."""

from functools import partial

from fastapi import FastAPI

from linli.events import catalogue
from linli.service import service
from linli.settings import Settings
from tickets import clocks, subscribers
from tickets.api import files, tickets, wishes
from tickets.files import Store
from tickets.operations.files import SWEEP, sweep


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the service; settings come from the environment unless given."""
    settings = settings or Settings()
    store = Store(settings.files)
    app = service(
        "tickets",
        settings,
        routers=[tickets.router, files.router, wishes.router],
        subscriptions=subscribers.subscriptions,
        publishes=[event for event in catalogue() if event.publisher == "tickets"],
        timers=clocks.timers.also(SWEEP, partial(sweep, store=store)),
        larger={files.UPLOAD: files.LARGEST},
    )
    app.state.files = store
    return app
