"""The tickets service, put together."""

from fastapi import FastAPI

from linli.events.tickets import (
    TicketAssigned,
    TicketClosed,
    TicketOpened,
    TicketOverdue,
    TicketRated,
    TicketResolved,
)
from linli.service import service
from linli.settings import Settings
from tickets import clocks, subscribers
from tickets.api import tickets


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the service; settings come from the environment unless given."""
    return service(
        "tickets",
        settings or Settings(),
        routers=[tickets.router],
        subscriptions=subscribers.subscriptions,
        publishes=[TicketOpened, TicketAssigned, TicketOverdue, TicketResolved, TicketClosed, TicketRated],
        timers=clocks.timers,
    )
