"""The gateway: Traefik's static and dynamic configuration, for the embedded stack and for containers.

Traefik reads YAML, and JSON is YAML: no template and no further library.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from linli_cli.console import Trouble
from linli_cli.home import APPS, CONSOLE, Home
from linli_cli.stack.tls import Tls

_DEFAULT_RATE = 200
_A_YEAR = 31_536_000


def rate_limit() -> int:
    """Read LINLI_RATE_LIMIT: requests a second that one client address may send on average.

    Raises:
        Trouble: when it is no positive number.
    """
    text = os.environ.get("LINLI_RATE_LIMIT") or str(_DEFAULT_RATE)
    if not (text.isascii() and text.isdigit() and int(text)):
        raise Trouble(
            f"LINLI_RATE_LIMIT={text} is no number of requests a second.",
            f"LINLI_RATE_LIMIT={text} 不是有效的每秒请求数。",
        )
    return int(text)


def write(home: Home) -> None:
    """Write both configuration files; Traefik follows changes of the dynamic one while it runs."""
    addresses = {name: f"http://127.0.0.1:{home.service_port(name)}" for name in APPS}
    routes_file = home.run / "routes.yml"
    tls = embedded_tls(home)
    doors = (f"127.0.0.1:{home.port}", f"127.0.0.1:{home.ping_port}")
    _write(home.run / "gateway.yml", static(*doors, routes_file, tls))
    _write(routes_file, routes(addresses, tls))


def embedded_tls(home: Home) -> Tls | None:
    """Tell whether the embedded stack is to speak HTTPS too, and where.

    Raises:
        Trouble: when what is wished for can't be done.
    """
    return Tls.wished(
        secure=f"127.0.0.1:{home.port + 18}",
        plain=f"127.0.0.1:{home.port + 19}",
        port=home.port + 18,
        store=home.secrets / "acme.json",
    )


def _write(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(as_json(content), encoding="utf-8")


def as_json(content: Mapping[str, object]) -> str:
    """Write a configuration: JSON is YAML, and NATS reads it too as long as letters are not escaped."""
    return json.dumps(content, indent=2, ensure_ascii=False)


def static(address: str, ping: str, routes_file: Path, tls: Tls | None = None) -> dict[str, object]:
    """Give what Traefik reads once, when it starts.

    Args:
        address: host and port on which it takes requests.
        ping: host and port on which it tells that it is alive.
        routes_file: where `routes` are.
        tls: where and how it speaks HTTPS too.
    """
    collector = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    common: dict[str, Any] = {
        "transport": {
            # A slow client may not hold a connection for ever.
            "respondingTimeouts": {"readTimeout": "30s", "writeTimeout": "60s", "idleTimeout": "120s"},
            "lifeCycle": {"graceTimeOut": "10s"},
        },
        "http": {
            # "problems" stands before "rate", so that it also words what the limiter refuses.
            "middlewares": [f"{name}@file" for name in ("headers", "problems", "rate", "retry")],
            # X_Forwarded_For is no second X-Forwarded-For.
            "aliasHeadersStrategy": "delete",
        },
    }
    static: dict[str, object] = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "WARN", "format": "json"},
        "entryPoints": {
            "web": {"address": address, **common},
            **(tls.doors(common) if tls else {}),
            "ping": {"address": ping, "http": {"aliasHeadersStrategy": "delete"}},
        },
        **(tls.resolvers() if tls else {}),
        "ping": {"entryPoint": "ping"},
        "providers": {"file": {"filename": str(routes_file), "watch": True}},
        "serversTransport": {
            "maxIdleConnsPerHost": 200,
            # idle: shorter than uvicorn keeps a connection, so that none is used while it closes.
            "forwardingTimeouts": {"dialTimeout": "2s", "responseHeaderTimeout": "60s", "idleConnTimeout": "60s"},
        },
    }
    if collector:
        endpoint = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or f"{collector.rstrip('/')}/v1/traces"
        static["tracing"] = {"serviceName": "gateway", "otlp": {"http": {"endpoint": endpoint}}}
    return static


def routes(addresses: Mapping[str, str], tls: Tls | None = None) -> dict[str, object]:
    """Give what Traefik follows while it runs: which path leads to which service, and what happens on the way.

    Args:
        addresses: of each service.
        tls: as in `static`.
    """
    doors = ["web", "websecure"] if tls else ["web"]
    rate = rate_limit()
    # The trailing slash keeps /ticketsomething out. What matches no service goes to the directory,
    # which shows / and /docs and answers the rest as a problem.
    routers: dict[str, dict[str, object]] = {
        name: {"rule": f"PathPrefix(`/{name}/`)", "service": name, "entryPoints": doors, "middlewares": ["api"]}
        for name in addresses
    }
    # The console's page says itself what a browser may load.
    routers[CONSOLE]["rule"] = f"PathPrefix(`/{CONSOLE}/v1/`)"
    page = f"(Path(`/{CONSOLE}`) || PathPrefix(`/{CONSOLE}/`))"
    routers["page"] = {"rule": page, "priority": 2, "service": CONSOLE, "entryPoints": doors}
    # So does the form that a place's QR code leads to.
    routers["form"] = {
        "rule": "PathPrefix(`/tickets/r/`)",
        "priority": 1000,
        "service": "tickets",
        "entryPoints": doors,
    }
    routers["rest"] = {"rule": "PathPrefix(`/`)", "priority": 1, "service": "directory", "entryPoints": doors}
    return {
        "http": {
            "routers": routers,
            "services": {
                name: {"loadBalancer": {"servers": [{"url": address}]}} for name, address in addresses.items()
            },
            "middlewares": {
                # 503 is a service's own word and stays; 502 and 504 are Traefik's.
                "problems": {
                    "errors": {
                        "status": ["429", "502", "504"],
                        "service": "directory",
                        "query": "/problems/{status}",
                    }
                },
                "rate": {"rateLimit": {"average": rate, "burst": 2 * rate}},
                "headers": {
                    "headers": {
                        "contentTypeNosniff": True,
                        "frameDeny": True,
                        "referrerPolicy": "no-referrer",
                        "stsSeconds": _A_YEAR,  # said where HTTPS is spoken, and nowhere else
                        "customResponseHeaders": {"Server": ""},
                    }
                },
                # Only connections that could not be made are tried again: a service that restarts costs
                # its callers a moment, not an error.
                "retry": {"retry": {"attempts": 6, "initialInterval": "100ms"}},
                "api": {"headers": {"contentSecurityPolicy": "default-src 'none'; sandbox; frame-ancestors 'none'"}},
            },
        },
        **({"tls": tls.settings()} if tls else {}),
    }
