"""What the broker keeps: the headers of a stream's messages since a time."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from linli_cli.console import Trouble

_AT_ONCE: Final = 1_000
_WITHIN: Final = 10.0
_FORGOTTEN_AFTER: Final = 60.0


async def headers(
    js: JetStreamContext, stream: str, subjects: str, since: datetime | None = None
) -> AsyncIterator[Msg]:
    """Read what the stream has now, without payloads.

    Args:
        js: the administrator's.
        stream: its name.
        subjects: which of its subjects.
        since: when the first of them was published; all without it.

    Raises:
        Trouble: when the stream is not there, or stops answering.
    """
    config = ConsumerConfig(
        ack_policy=AckPolicy.NONE,
        deliver_policy=DeliverPolicy.BY_START_TIME if since else DeliverPolicy.ALL,
        opt_start_time=since,
        filter_subject=subjects,
        headers_only=True,
        mem_storage=True,
        num_replicas=1,
        inactive_threshold=_FORGOTTEN_AFTER,
    )
    try:
        consumer = await js.add_consumer(stream, config)
    except NotFoundError as error:
        raise Trouble(
            f"The stream {stream} is not there.",
            f"事件流 {stream} 不存在。",
            hint="Make the streams first 请先创建事件流: linli streams",
        ) from error
    left = consumer.num_pending or 0
    subscription = await js.pull_subscribe_bind(consumer.name, stream)
    try:
        while left > 0:
            try:
                messages = await subscription.fetch(min(left, _AT_ONCE), timeout=_WITHIN)
            except TimeoutError as error:
                if not (await js.consumer_info(stream, consumer.name)).num_pending:
                    break  # some were taken out of the stream while it was read
                raise Trouble(f"The stream {stream} stopped answering.", f"事件流 {stream} 没有响应。") from error
            left -= len(messages)
            for message in messages:
                yield message
    finally:
        await subscription.unsubscribe()
        await js.delete_consumer(stream, consumer.name)
