"""In which order the services' databases are read, so that no effect is read without its cause."""

from collections.abc import Iterable
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linli.inbox import Consumer, Subscriptions

DIRECTORY = "directory"
"""Gives the tokens and the units that all others live on: read last, written last, removed first."""


def consumers_first(services: "Iterable[Subscriptions]") -> list[str]:
    """Order the services so that whoever listens comes before whom it listens to.

    Each database is read as it is at one moment. When the listener's moment is the earlier one, everything that its
    rows tell of is in the publisher's too; what the publisher has told since, it can tell again.

    Args:
        services: what each listens to.

    Raises:
        graphlib.CycleError: when two services listen to each other, so that there is no such order.
    """
    listeners: dict[str, set[str]] = {}
    for one in services:
        listeners.setdefault(one.service, set())
        for consumer in one.consumers:
            listeners.setdefault(publisher(consumer), set()).add(one.service)
    listeners[DIRECTORY] = listeners.keys() - {DIRECTORY}
    return list(TopologicalSorter(listeners).static_order())


def publisher(consumer: "Consumer") -> str:
    """Name whom a consumer listens to."""
    return consumer.contracts[0].publisher
