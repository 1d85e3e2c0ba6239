"""HTTPS at the gateway, with a certificate of an authority that the test makes up."""

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tools.tests import acme
from tools.tests.test_gateway import Upstream

from linli_cli.console import Trouble
from linli_cli.home import Home
from linli_cli.stack import gateway, tls
from linli_cli.stack.supervisor import BIN

pytestmark = pytest.mark.xdist_group("gateway")
NAME = "linli.example.gov.cn"


class Authority:
    """Signs certificates, as a district's own authority would."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "made up")])
        root = self._certificate(self._name, self._key.public_key(), days=2, authority=True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(root)

    def certificate(self, name: str, days: int = 1) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        files = self._folder / f"{name}-{days}.pem", self._folder / f"{name}-{days}.key"
        files[0].write_bytes(self._certificate(subject, key.public_key(), days=days, authority=False))
        files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files

    def sign(self, asked: x509.CertificateSigningRequest) -> bytes:
        names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (name,) = names.get_values_for_type(x509.DNSName)
        key = asked.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        root = self.file.read_bytes()
        return self._certificate(subject, key, days=60, authority=False) + root

    def _certificate(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, days: int, authority: bool) -> bytes:
        now = datetime.now(UTC)
        (name,) = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        built = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=3))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(str(name.value))]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        return built.sign(self._key, SHA256()).public_bytes(Encoding.PEM)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@contextmanager
def traefik(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway by the configuration that was written; what it says is in its log."""
    with (home.logs / "gateway.log").open("wb") as words:
        process = subprocess.Popen(
            [BIN / "traefik", f"--configFile={home.run / 'gateway.yml'}"], stdout=words, stderr=words
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(15)


@pytest.fixture(scope="module")
def trusted(shared_home: Home, authority: Authority) -> Iterator[ssl.SSLContext]:
    """A gateway with the certificate, in front of a directory; gives who trusts the authority."""
    upstream = ThreadingHTTPServer(("127.0.0.1", shared_home.service_port("directory")), Upstream)
    threading.Thread(target=upstream.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    certificate, key = authority.certificate(NAME)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINLI_TLS_CERT", str(certificate))
        patch.setenv("LINLI_TLS_KEY", str(key))
        gateway.write(shared_home)
    context = ssl.create_default_context(cafile=str(authority.file))
    with traefik(shared_home):
        deadline = time.monotonic() + 60
        while True:
            try:
                with connect(shared_home, context):
                    break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield context
    upstream.shutdown()
    upstream.server_close()


def connect(home: Home, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", home.port + 18), 20)
    try:
        return context.wrap_socket(plain, server_hostname=NAME)
    except BaseException:
        plain.close()
        raise


def test_https_is_spoken_with_the_certificate_given(shared_home: Home, trusted: ssl.SSLContext) -> None:
    with connect(shared_home, trusted) as connection:
        assert connection.version() == "TLSv1.3"
        certificate = connection.getpeercert()
        assert certificate is not None
        assert certificate["subjectAltName"] == (("DNS", NAME),)
        connection.sendall(f"GET /docs HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert answer.startswith("HTTP/1.1 200")
    assert "Strict-Transport-Security: max-age=31536000" in answer
    assert "X-Frame-Options: DENY" in answer
    assert "\nServer:" not in answer


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("version", "spoken"),
    [(ssl.TLSVersion.TLSv1, False), (ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)],
)
def test_nothing_older_than_tls_1_2_is_spoken(
    shared_home: Home, trusted: ssl.SSLContext, version: ssl.TLSVersion, *, spoken: bool
) -> None:
    assert trusted.check_hostname
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")  # or this side would refuse
    context.minimum_version, context.maximum_version = version, version
    if spoken:
        connect(shared_home, context).close()
        return
    with pytest.raises(ssl.SSLError) as refused:
        connect(shared_home, context)
    assert refused.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_comes_by_http_is_sent_to_https(shared_home: Home, trusted: ssl.SSLContext, method: str) -> None:
    assert trusted
    with httpx.Client(trust_env=False) as client:
        url = f"http://127.0.0.1:{shared_home.port + 19}/tickets/v1/tickets?limit=1"
        answer = client.request(method, url, headers={"Host": NAME})
    assert answer.status_code in {301, 308}
    assert answer.headers["Location"] == f"https://{NAME}:{shared_home.port + 18}/tickets/v1/tickets?limit=1"


def test_the_platforms_own_door_stays_as_it_is(shared_home: Home, trusted: ssl.SSLContext) -> None:
    assert trusted
    assert httpx.get(f"{shared_home.url}/docs", trust_env=False).is_success


def test_a_certificate_that_can_not_be_served_is_refused_before_anything_starts(
    authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.certificate("a.example")
    _, other = authority.certificate("b.example")
    old = authority.certificate("old.example", days=-1)
    (tmp_path / "empty").touch()
    for pair, words in (
        ((certificate, other), "is not the key"),
        (old, "has run out"),
        ((certificate, tmp_path / "missing"), "as PEM"),
        ((tmp_path / "empty", key), "as PEM"),
    ):
        with pytest.raises(Trouble, match=words):
            tls.Certificate(*pair).check()


@pytest.mark.parametrize(
    "said",
    [
        ("c", "", "", ""),
        ("", "k", "", ""),
        ("", "", "e", ""),
        ("", "", "", "d"),
        ("c", "k", "e", "d"),
        ("c", "", "e", "d"),
        ("", "", "", "", "https://ca.example/directory"),
        ("c", "k", "", "", "https://ca.example/directory"),
        ("c", "k", "", "d", "", "ca.pem"),
    ],
)
def test_half_of_what_https_needs_is_no_wish(said: tuple[str, ...]) -> None:
    with pytest.raises(Trouble, match="either a certificate"):
        tls.source(*said)


def test_an_authority_that_can_not_be_asked_is_refused_before_anything_starts(
    authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "empty").touch()
    for server, ca, words in (
        ("http://ca.example/directory", str(authority.file), "begins with https"),
        ("https://ca.example/directory", str(tmp_path / "missing"), "as PEM"),
        ("https://ca.example/directory", str(tmp_path / "empty"), "as PEM"),
    ):
        with pytest.raises(Trouble, match=words):
            tls.source("", "", "it@example.gov.cn", NAME, server, ca)


def test_without_a_wish_the_gateway_speaks_http_alone(home: Home) -> None:
    gateway.write(home)
    static = json.loads((home.run / "gateway.yml").read_text())
    assert set(static["entryPoints"]) == {"web", "ping"}
    assert "tls" not in json.loads((home.run / "routes.yml").read_text())


def test_traefik_takes_the_configuration_for_acme(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINLI_ACME_EMAIL", "it@example.gov.cn")
    monkeypatch.setenv("LINLI_DOMAIN", NAME)
    # An authority that answers nobody: what is tested is that Traefik reads all of it, and goes on without.
    monkeypatch.setenv("LINLI_ACME_SERVER", "https://127.0.0.1:9/directory")
    gateway.write(home)
    static = json.loads((home.run / "gateway.yml").read_text())
    asked = static["certificatesResolvers"]["acme"]["acme"]
    assert (asked["email"], asked["httpChallenge"]) == ("it@example.gov.cn", {"entryPoint": "plain"})
    assert static["entryPoints"]["websecure"]["http"]["tls"] == {
        "certResolver": "acme",
        "domains": [{"main": NAME}],
    }
    log = home.logs / "gateway.log"
    challenge = f"http://127.0.0.1:{home.port + 19}/.well-known/acme-challenge/made-up"

    def answer() -> int:
        try:
            return httpx.get(challenge, trust_env=False, timeout=20).status_code
        except httpx.TransportError:
            return 0

    with traefik(home) as process:
        deadline = time.monotonic() + 100
        # The challenge is answered by Traefik, not sent on to HTTPS.
        while answer() != 404:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        # It asks the authority for the name, by itself.
        while not any("127.0.0.1:9" in line and NAME in line for line in log.read_text().splitlines()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert f'"domains":["{NAME}"]' in log.read_text()
        assert process.poll() is None


def test_a_certificate_is_got_by_acme_from_an_authority_that_asks_for_proof(
    home: Home, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINLI_ACME_EMAIL", "it@example.gov.cn")
    monkeypatch.setenv("LINLI_DOMAIN", NAME)
    door = f"127.0.0.1:{home.port + 19}"
    with acme.authority(door, authority.sign, authority.certificate("localhost")) as given:
        monkeypatch.setenv("LINLI_ACME_SERVER", f"{given.url}/directory")
        monkeypatch.setenv("LINLI_ACME_CA", str(authority.file))
        gateway.write(home)
        context = ssl.create_default_context(cafile=str(authority.file))
        deadline = time.monotonic() + 100
        certificate = None
        with traefik(home):
            while certificate is None and time.monotonic() < deadline:
                try:
                    with connect(home, context) as connection:
                        certificate = connection.getpeercert()
                except OSError:  # its own certificate until it has the authority's
                    time.sleep(0.1)
    assert certificate is not None, (home.logs / "gateway.log").read_text()
    assert certificate["subjectAltName"] == (("DNS", NAME),)
    assert given.asked == ["newAccount", "newOrder", "challenge", "finalize"]
    kept = home.secrets / "acme.json"
    assert NAME in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0
