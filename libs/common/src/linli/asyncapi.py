"""What a service tells and hears, as an AsyncAPI 3.0 document."""

from collections.abc import Sequence
from typing import Any, Final

from linli.events import Event
from linli.inbox import Subscriptions

_HEADERS: Final = {
    "type": "object",
    "description": "CloudEvents 1.0, binary mode; values are percent-encoded.",
    "required": ["ce-specversion", "ce-id", "ce-source", "ce-type", "Nats-Msg-Id"],
    "properties": {
        "ce-specversion": {"const": "1.0"},
        "ce-id": {"type": "string", "format": "uuid", "description": "act on it once"},
        "ce-source": {"type": "string", "examples": ["/linli/tickets"]},
        "ce-type": {"type": "string", "examples": ["tickets.opened.v1"]},
        "ce-subject": {"type": "string", "description": "id of the aggregate"},
        "ce-time": {"type": "string", "format": "date-time"},
        "ce-datacontenttype": {"const": "application/json"},
        "ce-sequence": {"type": "string", "description": "version of the aggregate"},
        "Nats-Msg-Id": {"type": "string", "format": "uuid"},
        "traceparent": {"type": "string", "description": "W3C trace context"},
    },
}
_PARAMETERS: Final = {
    "district": {"description": "6-digit code of the district (区), the tenant", "examples": ["310104"]},
    "aggregate": {"description": "what the state belongs to", "examples": ["310104003"]},
}


def asyncapi(service: str, publishes: Sequence[type[Event]], subscriptions: Subscriptions) -> dict[str, Any]:
    """Make the document.

    Args:
        service: its name.
        publishes: the events it tells of.
        subscriptions: what it does when others tell of something.
    """
    receives = [contract for consumer in subscriptions.consumers for contract in consumer.contracts]
    contracts = list(dict.fromkeys([*publishes, *receives]))
    return {
        "asyncapi": "3.0.0",
        "info": {"title": f"Linli {service}: events", "version": "1"},
        "defaultContentType": "application/json",
        "channels": {contract.type: _channel(contract) for contract in contracts},
        "operations": {
            **{f"send {contract.type}": _operation("send", contract) for contract in publishes},
            **{f"receive {contract.type}": _operation("receive", contract) for contract in receives},
        },
        "components": {
            "messages": {contract.type: _message(contract) for contract in contracts},
            "schemas": {"headers": _HEADERS},
        },
    }


def _channel(contract: type[Event]) -> dict[str, Any]:
    names = ["district", "aggregate"] if contract.state else ["district"]
    return {
        "address": contract.subject_for("{district}", "{aggregate}"),
        "messages": {contract.__name__: {"$ref": f"#/components/messages/{contract.type}"}},
        "parameters": {name: _PARAMETERS[name] for name in names},
    }


def _operation(action: str, contract: type[Event]) -> dict[str, Any]:
    channel = f"#/channels/{contract.type}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{contract.__name__}"}],
    }


def _message(contract: type[Event]) -> dict[str, Any]:
    return {
        "name": contract.type,
        "title": contract.__name__,
        "summary": (contract.__doc__ or "").partition("\n")[0],
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/headers"},
        "payload": contract.model_json_schema(),
    }
