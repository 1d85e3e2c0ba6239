"""HTTPS of a deployment in containers: its certificate among the secrets, and what .env says of it."""

from io import StringIO
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from linli_cli.console import Trouble
from linli_cli.home import Home
from linli_cli.stack.tls import WISHES, Acme, Certificate, source

_NAMES: Final = ("tls_certificate", "tls_key", "acme_ca")
_WISHED: Final = """
# HTTPS: the gateway takes it on LINLI_PORT, and sends there who comes by HTTP on LINLI_HTTP_PORT. 安全访问
COMPOSE_FILE=compose.yml:tls.yml
LINLI_GATEWAY_PORT=8443
LINLI_HTTP_PORT={http_port}
"""
_OWN: Final = """\
# Your certificate: `linli init` with --tls-cert and --tls-key replaces it; then `docker compose restart gateway`.
LINLI_DOMAIN={domain}
LINLI_TLS_CERT=/run/secrets/tls_certificate
LINLI_TLS_KEY=/run/secrets/tls_key
"""
_ACME: Final = """\
# The gateway gets its certificate by ACME, and renews it; the authority must reach LINLI_HTTP_PORT as port 80 there.
LINLI_ACME_EMAIL={email}
LINLI_DOMAIN={domain}
"""
_AUTHORITY: Final = """\
# It is got there, and not from the public authority.
LINLI_ACME_SERVER={server}
"""
_TRUSTED: Final = """\
# By which that is believed: `linli init` with --acme-ca replaces it; then `docker compose restart gateway`.
LINLI_ACME_CA=/run/secrets/acme_ca
"""


def lay(home: Home, wished: Certificate | Acme | None) -> None:
    """Put among the secrets, in place of what is there, a certificate, or those by which an authority is believed."""
    if wished is None:
        return
    own = (wished.file, wished.key, None) if isinstance(wished, Certificate) else (None, None, wished.ca)
    for name, file in zip(_NAMES, own, strict=True):
        if file:
            draft = home.secrets / f"{name}.draft"
            draft.write_bytes(file.read_bytes())
            draft.chmod(0o444)
            draft.replace(home.secrets / name)
    _complete(home)


def renew(home: Home) -> None:
    """Give a deployment that speaks HTTPS what a newer version wants of it."""
    if any((home.secrets / name).exists() for name in _NAMES):
        _complete(home)


def _complete(home: Home) -> None:
    for name in _NAMES:
        if not (home.secrets / name).exists():
            (home.secrets / name).touch(mode=0o444)  # containers want it, if it is empty


def settings(wished: Certificate | Acme | None, http_port: int) -> str:
    """Give the lines for .env."""
    if wished is None:
        return ""
    lines = _WISHED.format(http_port=http_port)
    if isinstance(wished, Certificate):
        return lines + _OWN.format(domain=wished.domain)
    lines += _ACME.format(email=wished.email, domain=wished.domain)
    lines += _AUTHORITY.format(server=wished.server) if wished.server else ""
    return lines + (_TRUSTED if wished.ca else "")


def require_known(file: Path, wished: Certificate | Acme | None, http_port: int) -> None:
    """Refuse when a deployment that is there does not speak HTTPS so: its .env is its owner's to change.

    Raises:
        Trouble: with the lines that are missing.
    """
    lines = dotenv_values(stream=StringIO(settings(wished, http_port))).items()
    if not {(name, value) for name, value in lines if name in WISHES} <= dotenv_values(file).items():
        raise Trouble(
            f"The certificate is laid, but {file} does not say yet that it is to be used.",
            f"证书已放置，但 {file} 尚未启用 HTTPS。",
            hint="Add these lines, and look at LINLI_PORT: 443?  请加入以下各行，并检查 LINLI_PORT：\n"
            + settings(wished, http_port),
        )


def wished(  # noqa: PLR0913, PLR0917 one for each option
    certificate: Path | None, key: Path | None, email: str, domain: str, server: str, ca: Path | None
) -> Certificate | Acme | None:
    """Read the command line's options.

    Raises:
        Trouble: when they are half said, said twice, or can't be used.
    """
    return source(str(certificate or ""), str(key or ""), email, domain, server, str(ca or ""))
