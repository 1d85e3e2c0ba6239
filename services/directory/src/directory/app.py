"""The directory (名录): composition root."""

from fastapi import FastAPI

from directory.api import clients, oauth, pages, places, staff, units
from directory.idtokens import ProviderKeys
from directory.keys import SigningKeys
from directory.oauth import OAuthError
from linli.crypto import MasterKeys
from linli.events.directory import AssignmentChanged, BuildingChanged, UnitChanged
from linli.service import service
from linli.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the service."""
    settings = settings or Settings()
    app = service(
        "directory",
        settings,
        routers=[units.router, places.router, staff.router, clients.router, oauth.router, pages.router],
        publishes=[UnitChanged, BuildingChanged, AssignmentChanged],
    )
    app.state.signing_keys = SigningKeys(MasterKeys(settings.master_key.get_secret_value()))
    app.state.provider_keys = ProviderKeys()
    app.add_exception_handler(OAuthError, oauth.on_oauth_error)
    pages.mount_assets(app)
    return app
