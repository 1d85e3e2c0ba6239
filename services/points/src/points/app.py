"""The points service, put together."""

from fastapi import FastAPI

from linli.events.points import PointsAwarded
from linli.service import service
from linli.settings import Settings
from points import api, subscribers


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the service; settings come from the environment unless given."""
    return service(
        "points",
        settings or Settings(),
        routers=[api.router],
        subscriptions=subscribers.subscriptions,
        publishes=[PointsAwarded],
    )
