"""HTTPS in containers: `linli init` with a certificate, and the gateway serves it."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from tests.compose.conftest import LINLI, Deployment, free_port, run
from tools.tests.test_tls import NAME, Authority


@pytest.fixture
def secure(tmp_path: Path, image: str) -> Iterator[tuple[Deployment, int, Path]]:
    """A deployment's gateway alone, with a certificate; gives the port for HTTP and the authority too."""
    certificate, key = Authority(tmp_path).certificate(NAME)
    made, plain = Deployment(tmp_path / "district", free_port()), free_port()
    run(
        *(str(LINLI), "init", str(made.folder), "--port", str(made.port), "--http-port", str(plain)),
        *("--tls-cert", str(certificate), "--tls-key", str(key)),
        *("--project", f"linli-{uuid4().hex[:8]}", "--tag", image.split(":")[1]),
    )
    try:
        made.compose("up", "--detach", "--wait", "--wait-timeout", "90", "gateway")
        yield made, plain, tmp_path / "ca.pem"
    finally:
        made.compose("down", "--volumes", "--timeout", "5")


def test_the_gateway_serves_the_certificate_and_sends_http_there(secure: tuple[Deployment, int, Path]) -> None:
    deployment, plain, authority = secure
    context = ssl.create_default_context(cafile=str(authority))
    with (
        socket.create_connection(("127.0.0.1", deployment.port), 5) as connection,
        context.wrap_socket(connection, server_hostname=NAME) as spoken,
    ):
        assert spoken.version() == "TLSv1.3"
        spoken.sendall(f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: spoken.recv(65536), b"")).decode()
    assert "Strict-Transport-Security: max-age=31536000" in answer
    sent = httpx.get(f"http://127.0.0.1:{plain}/docs", headers={"Host": NAME}, trust_env=False)
    assert sent.status_code in {301, 308}
    assert sent.headers["Location"] == f"https://{NAME}:{deployment.port}/docs"
    (gateway,) = deployment.containers("gateway")
    published = {port for port, where in gateway["NetworkSettings"]["Ports"].items() if where}
    assert published == {"8443/tcp", "8081/tcp"}
