"""HTTPS of a deployment in containers: its certificate among the secrets, and what .env says of it."""

from pathlib import Path
from typing import Final

from linli_cli.console import Trouble
from linli_cli.home import Home
from linli_cli.stack.tls import Acme, Certificate, source

_NAMES: Final = ("tls_certificate", "tls_key")
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


def lay(home: Home, wished: Certificate | Acme | None) -> None:
    """Put a certificate among the secrets, in place of the one there; without one, containers want empty files."""
    if wished is None:
        return
    for name, file in zip(_NAMES, (wished.file, wished.key) if isinstance(wished, Certificate) else (), strict=False):
        draft = home.secrets / f"{name}.draft"
        draft.write_bytes(file.read_bytes())
        draft.chmod(0o444)
        draft.replace(home.secrets / name)
    for name in _NAMES:
        if not (home.secrets / name).exists():
            (home.secrets / name).touch(mode=0o444)


def settings(wished: Certificate | Acme | None, http_port: int) -> str:
    """Give the lines for .env."""
    if wished is None:
        return ""
    which = _OWN if isinstance(wished, Certificate) else _ACME.replace("{email}", wished.email)
    return (_WISHED + which).format(http_port=http_port, domain=wished.domain)


def require_known(file: Path, wished: Certificate | Acme | None, http_port: int) -> None:
    """Refuse when a deployment that is there does not speak HTTPS yet: its .env is its owner's to change.

    Raises:
        Trouble: with the lines that are missing.
    """
    lines = settings(wished, http_port)
    if lines and lines.splitlines()[-1] not in file.read_text(encoding="utf-8").splitlines():
        raise Trouble(
            f"The certificate is laid, but {file} does not say yet that it is to be used.",
            f"证书已放置，但 {file} 尚未启用 HTTPS。",
            hint=f"Add these lines, and look at LINLI_PORT: 443?  请加入以下各行，并检查 LINLI_PORT：\n{lines}",
        )


def wished(certificate: Path | None, key: Path | None, email: str, domain: str) -> Certificate | Acme | None:
    """Read the command line's options.

    Raises:
        Trouble: when they are half said, said twice, or can't be used.
    """
    return source(str(certificate or ""), str(key or ""), email, domain)
