"""HTTPS at the gateway: with a certificate of one's own, or one that Traefik gets and renews by ACME (HTTP challenge).

The gateway then has three doors: `web` speaks HTTP as ever, to the platform's own machine or network alone; `websecure`
speaks HTTPS to everybody; `plain` sends everybody who comes by HTTP to that, and answers the ACME challenge.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from linli_cli.console import Trouble

WISHES: Final = (
    *("LINLI_TLS_CERT", "LINLI_TLS_KEY"),
    *("LINLI_ACME_EMAIL", "LINLI_DOMAIN", "LINLI_ACME_SERVER", "LINLI_ACME_CA"),
)
_RESOLVER: Final = "acme"


@dataclass(frozen=True)
class Certificate:
    """A certificate with its chain, and its key."""

    file: Path
    key: Path

    @property
    def domain(self) -> str:
        """The first name it is good for; empty when it is for none."""
        leaf = x509.load_pem_x509_certificates(self.file.read_bytes())[0]
        try:
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return ""
        return next(iter(names.get_values_for_type(x509.DNSName)), "").removeprefix("*.")

    def check(self) -> None:
        """Refuse what Traefik would pass over in silence, serving a certificate of its own making.

        Raises:
            Trouble: when a file can't be read, they don't belong together, or it has run out.
        """
        try:
            leaf = x509.load_pem_x509_certificates(self.file.read_bytes())[0]
            key = load_pem_private_key(self.key.read_bytes(), None)
        except (OSError, ValueError, TypeError, IndexError) as error:
            raise Trouble(
                f"{self.file} and {self.key} must be a certificate and its key without a passphrase, as PEM.",
                f"{self.file} 与 {self.key} 应为 PEM 格式的证书及其未加密私钥。",
            ) from error
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if leaf.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
            raise Trouble(f"{self.key} is not the key of {self.file}.", f"私钥 {self.key} 与证书 {self.file} 不匹配。")
        if leaf.not_valid_after_utc < datetime.now(UTC):
            raise Trouble(
                f"{self.file} has run out on {leaf.not_valid_after_utc:%F}.",
                f"证书 {self.file} 已于 {leaf.not_valid_after_utc:%F} 过期。",
            )


@dataclass(frozen=True)
class Acme:
    """A certificate that Traefik gets, and whom the authority writes to.

    Attributes:
        domain: the name that it is for.
        server: address of the authority's directory; empty for the public one that Traefik knows.
        ca: certificates (PEM) by which the authority itself is believed; without them, whom this machine believes.
    """

    email: str
    domain: str
    server: str = ""
    ca: Path | None = None

    def check(self) -> None:
        """Refuse what Traefik would only write into its log, serving a certificate of its own making.

        Raises:
            Trouble: when the authority's address is not HTTPS, or the file holds no certificates.
        """
        if self.server and not self.server.startswith("https://"):
            raise Trouble(
                f"{self.server} is no address of an ACME directory: it begins with https://.",
                f"{self.server} 不是 ACME 目录地址，应以 https:// 开头。",
                hint="LINLI_ACME_SERVER",
            )
        try:
            if self.ca:
                x509.load_pem_x509_certificates(self.ca.read_bytes())
        except (OSError, ValueError) as error:
            raise Trouble(
                f"{self.ca} must hold the authority's certificates, as PEM.",
                f"{self.ca} 应为 PEM 格式的 CA 证书。",
                hint="LINLI_ACME_CA",
            ) from error


@dataclass(frozen=True)
class Tls:
    """Where HTTPS is spoken, and with which certificate.

    Attributes:
        secure: host and port that it takes HTTPS on.
        plain: host and port of those who come by HTTP.
        port: where clients find the former.
        store: where what is got by ACME is kept.
    """

    source: Certificate | Acme
    secure: str
    plain: str
    port: int
    store: Path

    @classmethod
    def wished(cls, *, secure: str, plain: str, port: int, store: Path) -> Self | None:
        """Read what HTTPS is wished with, `WISHES`; None without any.

        Raises:
            Trouble: when they are half said, said twice, or can't be used.
        """
        found = source(*(os.environ.get(name, "") for name in WISHES))
        return None if found is None else cls(found, secure, plain, port, store)

    @property
    def ports(self) -> list[int]:
        """The two ports it takes."""
        return [int(door.rpartition(":")[2]) for door in (self.secure, self.plain)]

    @property
    def files(self) -> list[Path]:
        """What the gateway reads once, when it starts."""
        if isinstance(self.source, Certificate):
            return [self.source.file, self.source.key]
        return [self.source.ca] if self.source.ca else []

    def doors(self, common: dict[str, Any]) -> dict[str, Any]:
        """Give Traefik's entry points besides `web`, from what they all have in common."""
        tls: dict[str, object] = {}
        if isinstance(self.source, Acme):
            tls = {"certResolver": _RESOLVER, "domains": [{"main": self.source.domain}]}
        to = {"to": f":{self.port}", "scheme": "https", "permanent": True}
        return {
            "websecure": {**common, "address": self.secure, "http": {**common["http"], "tls": tls}},
            "plain": {
                "address": self.plain,
                "transport": common["transport"],
                "http": {"redirections": {"entryPoint": to}, "aliasHeadersStrategy": "delete"},
            },
        }

    def resolvers(self) -> dict[str, object]:
        """Give who gets certificates; nobody for one's own."""
        if isinstance(self.source, Certificate):
            return {}
        asked: dict[str, object] = {
            "email": self.source.email,
            "storage": str(self.store),
            "keyType": "EC256",
            "httpChallenge": {"entryPoint": "plain"},
        }
        if self.source.server:
            asked["caServer"] = self.source.server
        if self.source.ca:
            asked["caCertificates"] = [str(self.source.ca)]
        return {"certificatesResolvers": {_RESOLVER: {"acme": asked}}}

    def settings(self) -> dict[str, object]:
        """Give what Traefik follows while it runs: nothing older than TLS 1.2, and the certificate for every name."""
        found: dict[str, object] = {"options": {"default": {"minVersion": "VersionTLS12"}}}
        if isinstance(self.source, Certificate):
            files = {"certFile": str(self.source.file), "keyFile": str(self.source.key)}
            found["stores"] = {"default": {"defaultCertificate": files}}
        return found


def source(  # noqa: PLR0913, PLR0917 one for each of the wishes
    certificate: str, key: str, email: str, domain: str, server: str = "", ca: str = ""
) -> Certificate | Acme | None:
    """Tell which certificate is wished for; None when nothing is said.

    Raises:
        Trouble: when it is half said, said twice, or can't be used.
    """
    if not (certificate or key or email or domain or server or ca):
        return None
    found: Certificate | Acme | None = None
    if certificate and key and not (email or server or ca):
        found = Certificate(Path(certificate).absolute(), Path(key).absolute())
    elif email and domain and not (certificate or key):
        found = Acme(email, domain, server, Path(ca).absolute() if ca else None)
    if found is None:
        raise Trouble(
            "HTTPS takes either a certificate and its key, or an e-mail address and a domain for ACME.",
            "启用 HTTPS 需提供证书与私钥，或提供用于 ACME 的邮箱与域名，二者选一。",
            hint="LINLI_TLS_CERT and LINLI_TLS_KEY, or LINLI_ACME_EMAIL and LINLI_DOMAIN",
        )
    found.check()
    return found
