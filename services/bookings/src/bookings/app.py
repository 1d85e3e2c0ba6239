"""The bookings service, put together."""

from fastapi import FastAPI

from bookings import api, subscribers
from linli.events.bookings import BookingCancelled, SeatBooked, SessionScheduled
from linli.service import service
from linli.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the service; settings come from the environment unless given."""
    return service(
        "bookings",
        settings or Settings(),
        routers=[api.router],
        subscriptions=subscribers.subscriptions,
        publishes=[SessionScheduled, SeatBooked, BookingCancelled],
    )
