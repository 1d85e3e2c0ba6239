"""What bookings hears from others: which units there are."""

from linli.inbox import Subscriptions

subscriptions = Subscriptions("bookings", known_units=True)
