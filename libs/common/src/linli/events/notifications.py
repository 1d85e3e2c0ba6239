"""What notifications (通知) tell."""

from uuid import UUID

from linli.events import Code, Event


class PersonNotified(Event, type="notifications.notified.v1", aggregate="notification"):
    """A notification lies in a person's inbox; `cause` is the event it tells of."""

    notification: UUID
    recipient: UUID
    kind: Code
    cause: UUID
