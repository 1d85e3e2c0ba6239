"""The residents service, put together."""

from fastapi import FastAPI

from linli import personal
from linli.crypto import Keyring, MasterKeys
from linli.events.residents import ResidentRegistered, ResidentsImported
from linli.service import service
from linli.settings import Settings
from residents import api, subscribers


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the service; settings come from the environment unless given."""
    settings = settings or Settings()
    app = service(
        "residents",
        settings,
        routers=[api.router, api.personal, personal.router("residents")],
        subscriptions=subscribers.subscriptions,
        publishes=[ResidentRegistered, ResidentsImported],
    )
    app.state.keyring = Keyring(MasterKeys(settings.master_key.get_secret_value()))
    return app
