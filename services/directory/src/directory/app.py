"""The directory (名录): composition root."""

from fastapi import FastAPI

from directory.api import clients, oauth, pages, places, staff, units
from directory.attempts import Attempts
from directory.idtokens import ProviderKeys
from directory.keys import SigningKeys
from directory.oauth import OAuthError
from linli.crypto import MasterKeys
from linli.events.directory import AssignmentChanged, BuildingChanged, UnitChanged
from linli.service import service
from linli.settings import Settings
from linli.shards import Shards


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the service."""
    # The catalogue of all districts is in one place: docs/decisions/0003-districts-on-several-databases.md
    settings = (settings or Settings()).model_copy(update={"shards": Shards()})
    app = service(
        "directory",
        settings,
        routers=[units.router, places.router, staff.router, clients.router, oauth.router, pages.router],
        publishes=[UnitChanged, BuildingChanged, AssignmentChanged],
    )
    app.state.signing_keys = SigningKeys(MasterKeys(settings.master_key.get_secret_value()))
    app.state.provider_keys = ProviderKeys()
    app.state.attempts = Attempts()
    app.add_exception_handler(OAuthError, oauth.on_oauth_error)
    pages.mount_assets(app)
    return app
