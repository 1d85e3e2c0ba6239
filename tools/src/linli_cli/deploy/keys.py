"""The secrets of a deployment in containers: one file each, made once.

The files that containers read are readable by everybody, in a folder that only its owner can enter: what a container
gets is a mount of single files, read by a user who owns nothing on the host, whatever the engine maps him to.
"""

import secrets
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from linli.bootstrap import logins
from linli_cli.home import APPS, SERVICES, Home
from linli_cli.stack.streams import ADMIN

_POSTGRES = "postgres:5432"
_NATS = "nats:4222"
_OWN = ("postgres", "platform_client_secret", "grafana_admin_password", "grafana_secret_key")


def make(home: Home) -> None:
    """Make what is missing; what is there stays as it is."""
    wanted = {f"{user}_nats_url": f"nats://{user}:{_password()}@{_NATS}" for user in (*SERVICES, ADMIN)}
    for service in APPS:
        for login in logins(service):
            wanted[f"{login}_url"] = f"postgresql://{login}:{_password()}@{_POSTGRES}/{service}"
    home.master_key()
    for name in _OWN:
        home.secret(name)
    for name, value in wanted.items():
        home.secret(name, partial(str, value))
    for name in (*wanted, "master_key", *_OWN):
        (home.root / "secrets" / name).chmod(0o444)


def _password() -> str:
    return secrets.token_urlsafe(32)


def superuser_url(folder: Path) -> str:
    """Give the address of the database's superuser."""
    return f"postgresql://postgres:{quote((folder / 'postgres').read_text())}@{_POSTGRES}/postgres"


def database_passwords(folder: Path) -> dict[str, str]:
    """Give the password of every login of the database, as its address has it."""
    return {login: _password_of(folder / f"{login}_url") for service in APPS for login in logins(service)}


def broker_passwords(folder: Path) -> dict[str, str]:
    """Give the password of every user of the broker, as its address has it."""
    return {user: _password_of(folder / f"{user}_nats_url") for user in (*SERVICES, ADMIN)}


def _password_of(file: Path) -> str:
    return unquote(urlsplit(file.read_text().strip()).password or "")
