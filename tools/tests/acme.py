"""An authority that speaks ACME (RFC 8555), as far as a gateway asks it: one name, the HTTP challenge, every request
signed, every nonce good for once, and the first one refused.
"""

import base64
import hashlib
import json
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import jwt
from cryptography import x509

Sign = Callable[[x509.CertificateSigningRequest], bytes]
_THUMBED: Final = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y")}


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Acme:
    """What the authority knows.

    Args:
        door: host and port on which it asks for challenges, in place of port 80 of the name.
        sign: gives the chain, PEM, for what is asked for.

    Attributes:
        url: of its directory.
        asked: what was done, in order.
    """

    def __init__(self, door: str, sign: Sign) -> None:
        self.url = ""
        self.asked: list[str] = []
        self._door = door
        self._sign = sign
        self._nonces: set[str] = set()
        self._refused = False
        self._account: dict[str, Any] = {}
        self._name = ""
        self._token = secrets.token_urlsafe(16)
        self._proved = False
        self._chain = b""

    def nonce(self) -> str:
        self._nonces.add(one := secrets.token_urlsafe(16))
        return one

    def directory(self) -> dict[str, str]:
        return {
            name: f"{self.url}/{name}" for name in ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange")
        }

    def answer(self, path: str, body: dict[str, str]) -> tuple[int, object, str]:
        """Give status, body and location."""
        protected = json.loads(_decoded(body["protected"]))
        key = protected.get("jwk") or self._account
        compact = f"{body['protected']}.{body['payload']}.{body['signature']}"
        payload = jwt.api_jws.decode(compact, jwt.PyJWK(key, protected["alg"]).key, algorithms=[protected["alg"]])
        said: dict[str, Any] = json.loads(payload) if payload else {}
        fresh = protected["nonce"] in self._nonces
        self._nonces.discard(protected["nonce"])
        if not fresh or not self._refused:
            self._refused = True
            return 400, {"type": "urn:ietf:params:acme:error:badNonce", "detail": "try again"}, ""
        step = path.strip("/")
        if payload:
            self.asked.append(step)
        location = {"newAccount": "account", "newOrder": "order", "order": "order", "finalize": "order"}.get(step)
        status = 201 if step in {"newAccount", "newOrder"} else 200
        return status, self._done(step, said, key), f"{self.url}/{location}" if location else ""

    def _done(self, step: str, said: dict[str, Any], key: dict[str, Any]) -> object:
        match step:
            case "newAccount":
                self._account = key
                return {"status": "valid", "contact": said["contact"]}
            case "newOrder":
                self._name = said["identifiers"][0]["value"]
            case "finalize":
                self._chain = self._sign(x509.load_der_x509_csr(_decoded(said["csr"])))
            case "challenge":
                self._prove()
                return self._challenge()
            case "authorization":
                named = {"type": "dns", "value": self._name}
                status = "valid" if self._proved else "pending"
                return {"status": status, "identifier": named, "challenges": [self._challenge()]}
            case "certificate":
                return self._chain
        return self._order()

    def _order(self) -> dict[str, object]:
        status = "valid" if self._chain else "ready" if self._proved else "pending"
        given = {"certificate": f"{self.url}/certificate"} if self._chain else {}
        return {
            "status": status,
            "identifiers": [{"type": "dns", "value": self._name}],
            "authorizations": [f"{self.url}/authorization"],
            "finalize": f"{self.url}/finalize",
            **given,
        }

    def _challenge(self) -> dict[str, str]:
        status = "valid" if self._proved else "pending"
        return {"type": "http-01", "url": f"{self.url}/challenge", "token": self._token, "status": status}

    def _prove(self) -> None:
        """Ask the name for the token and the key's thumbprint (RFC 7638), by HTTP and as a stranger."""
        parts = {part: self._account[part] for part in _THUMBED[self._account["kty"]]}
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).digest()
        thumbprint = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        url = f"http://{self._door}/.well-known/acme-challenge/{self._token}"
        said = httpx.get(url, headers={"Host": self._name}, trust_env=False, timeout=30)
        self._proved = said.is_success and said.text == f"{self._token}.{thumbprint}"


@contextmanager
def authority(door: str, sign: Sign, certificate: tuple[Path, Path]) -> Iterator[Acme]:
    """Run one while the block lasts, at `localhost`, with a certificate and its key."""
    acme = Acme(door, sign)

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._say(200, b"")

        def do_GET(self) -> None:
            self._say(200, acme.directory())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._say(*acme.answer(self.path, body))

        def _say(self, status: int, body: object, location: str = "") -> None:
            kind = "application/pem-certificate-chain" if isinstance(body, bytes) else "application/json"
            kind = "application/problem+json" if status >= 400 else kind
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Replay-Nonce", acme.nonce())
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    acme.url = f"https://localhost:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield acme
    finally:
        server.shutdown()
        server.server_close()
