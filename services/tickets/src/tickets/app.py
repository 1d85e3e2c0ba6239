"""The tickets service, put together."""

from fastapi import FastAPI

from linli.events.tickets import TicketAssigned, TicketClosed, TicketOpened, TicketRated, TicketResolved
from linli.service import service
from linli.settings import Settings
from tickets import api, subscribers


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the service; settings come from the environment unless given."""
    return service(
        "tickets",
        settings or Settings(),
        routers=[api.router],
        subscriptions=subscribers.subscriptions,
        publishes=[TicketOpened, TicketAssigned, TicketResolved, TicketClosed, TicketRated],
    )
