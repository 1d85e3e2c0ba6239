"""Write down the API that the page is built against: `make page-api` after it has changed, and a test says when."""

import json
from pathlib import Path

from fastapi.routing import APIRoute
from pydantic import SecretStr

from console.app import create_app
from console.settings import ConsoleSettings
from directory.api import units
from linli import deadletters
from linli.inbox import Subscriptions

WEB = Path(__file__).parents[2] / "services" / "console" / "web"
DOCUMENT = WEB / "openapi.json"
_NOWHERE = SecretStr("postgresql://nobody@localhost/nothing")
_UNITS = {"/directory/v1/units/{code}", "/directory/v1/units/{code}/children"}


def described() -> str:
    """Describe the console's API, and what the page asks of others: dead letters of a `service`, units' names."""
    settings = ConsoleSettings(database_url=_NOWHERE, relay_database_url=_NOWHERE, jwks_url="http://localhost/")
    app = create_app(settings)
    app.include_router(deadletters.router("service", Subscriptions("service")))
    app.router.routes += [
        route
        for route in units.router.routes
        if isinstance(route, APIRoute) and route.path in _UNITS and route.methods == {"GET"}
    ]
    return json.dumps(app.openapi(), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(described(), encoding="utf-8")
