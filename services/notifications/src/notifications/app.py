"""The notifications service, put together."""

from fastapi import FastAPI

from linli.events.notifications import PersonNotified
from linli.service import service
from linli.settings import Settings
from notifications import api, subscribers


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the service; settings come from the environment unless given."""
    return service(
        "notifications",
        settings or Settings(),
        routers=[api.router],
        subscriptions=subscribers.subscriptions,
        publishes=[PersonNotified],
    )
