"""Streams, durable consumers and rights on the broker: made by a job, so that services need no rights to make any."""

from collections.abc import Iterable, Mapping
from typing import Final

from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from linli.broker import inbox_prefix
from linli.events import Event, catalogue
from linli.inbox import Consumer, Subscriptions, stream_of

_DAYS: Final = 86_400.0
_KEEP: Final = 30 * _DAYS
_DUPLICATES_WITHIN: Final = 120.0
ACK_WAIT: Final = 6.0
"""Seconds after which what somebody has in hand goes to another, unless he says that he is at work on it."""
_UNANSWERED: Final = 10_000
"""Messages given out and not answered; when there are more, nobody is given any. While a database server is away, all
that is for its districts is among them, so this is how much may wait before the other districts wait too."""


def _stream(contract: type[Event], replicas: int) -> StreamConfig:
    # Any district, name and version: a new one needs no new stream.
    wildcards = ".*" * (contract.subject_for("", "").count(".") - 1)
    return StreamConfig(
        name=stream_of(contract),
        description=f"What {contract.publisher} tells" + (": states, the last of each" if contract.state else ""),
        subjects=[f"linli.{contract.publisher}{wildcards}"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=0 if contract.state else _KEEP,
        max_msgs_per_subject=1 if contract.state else -1,
        duplicate_window=_DUPLICATES_WITHIN,
        num_replicas=replicas,
    )


def _consumer(consumer: Consumer) -> ConsumerConfig:
    return ConsumerConfig(
        name=consumer.name,
        durable_name=consumer.name,
        filter_subjects=consumer.subjects,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT,
        # The service counts deliveries itself: the broker would stop delivering and tell nobody.
        max_deliver=-1,
        max_ack_pending=_UNANSWERED,
    )


async def ensure_streams(js: JetStreamContext, subscriptions: Iterable[Subscriptions], replicas: int = 1) -> None:
    """Make every stream and consumer, and bring those that are there to what is wanted; safe to run again."""
    consumers = [consumer for one in subscriptions for consumer in one.consumers]
    contracts = {*catalogue(), *(contract for consumer in consumers for contract in consumer.contracts)}
    for wanted in {stream_of(contract): _stream(contract, replicas) for contract in contracts}.values():
        try:
            await js.stream_info(str(wanted.name))
        except NotFoundError:
            await js.add_stream(wanted)
        else:
            await js.update_stream(wanted)
    for consumer in consumers:
        await js.add_consumer(consumer.stream, _consumer(consumer))


def nats_permissions(service: str, subscriptions: Subscriptions) -> Mapping[str, Mapping[str, list[str]]]:
    """Give the least rights a service's NATS user needs, as `permissions` of the server's configuration.

    It may tell what is its own, pull and answer for its own consumers, and be answered; nothing else.
    """
    consumers = [(consumer.stream, consumer.name) for consumer in subscriptions.consumers]
    return {
        "publish": {
            "allow": [
                f"linli.{service}.>",
                *(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}" for stream, name in consumers),
                *(f"$JS.ACK.{stream}.{name}.>" for stream, name in consumers),
            ]
        },
        "subscribe": {"allow": [f"{inbox_prefix(service)}.>"]},
    }
