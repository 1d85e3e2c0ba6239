import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from linli_cli.home import Home
from linli_cli.stack import gateway
from linli_cli.stack.supervisor import BIN

pytestmark = pytest.mark.xdist_group("gateway")
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Upstream(BaseHTTPRequestHandler):
    """Says what it was asked, and words problems as the directory does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status = 503 if self.path.endswith("/busy") else 200
        body = f"{self.connection.getsockname()[1]}{self.path} {self.headers.get('traceparent')}".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/problem+json")
        self.send_header("Content-Length", str(len(body)))
        if self.path.startswith("/problems/"):
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def listen() -> Iterator[Callable[[int], None]]:
    servers: list[ThreadingHTTPServer] = []

    def listen(port: int) -> None:
        servers.append(ThreadingHTTPServer(("127.0.0.1", port), Upstream))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    yield listen
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def client(shared_home: Home, listen: Callable[[int], None]) -> Iterator[httpx.Client]:
    """Traefik in front of a directory and of tickets; the other services are down."""
    listen(shared_home.service_port("directory"))
    listen(shared_home.service_port("tickets"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINLI_RATE_LIMIT", "20")
        gateway.write(shared_home)
    process = subprocess.Popen(
        [BIN / "traefik", f"--configFile={shared_home.run / 'gateway.yml'}"], stdout=subprocess.DEVNULL
    )
    with httpx.Client(base_url=shared_home.url, timeout=10, trust_env=False) as client:
        deadline = time.monotonic() + 60
        while True:
            try:
                if client.get("/docs").is_success:
                    break
            except httpx.TransportError:
                assert time.monotonic() < deadline
            time.sleep(0.05)
        yield client
    process.terminate()
    process.wait(15)


def test_requests_go_to_their_service_with_their_trace(shared_home: Home, client: httpx.Client) -> None:
    answer = client.get("/tickets/v1/tickets?limit=1", headers={"traceparent": TRACEPARENT})
    assert answer.text == f"{shared_home.service_port('tickets')}/tickets/v1/tickets?limit=1 {TRACEPARENT}"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    # Also of what people upload: what a service says itself is replaced.
    assert "default-src 'none'; sandbox;" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "Server" not in answer.headers
    assert "Strict-Transport-Security" not in answer.headers  # this door speaks HTTP


@pytest.mark.parametrize("path", ["/", "/docs", "/ticketsomething", "/nothing/here"])
def test_what_belongs_to_no_service_goes_to_the_directory(shared_home: Home, client: httpx.Client, path: str) -> None:
    assert client.get(path).text.startswith(f"{shared_home.service_port('directory')}{path} ")


def test_a_service_that_is_down_is_a_problem_in_words(client: httpx.Client) -> None:
    answer = client.get("/points/v1/accounts")
    assert answer.status_code == 502
    assert "/problems/502" in answer.text
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_what_a_service_says_itself_is_left_as_it_is(client: httpx.Client) -> None:
    answer = client.get("/tickets/busy")
    assert answer.status_code == 503
    assert "/tickets/busy" in answer.text


def test_a_restart_of_a_service_costs_its_callers_a_moment_but_no_error(
    shared_home: Home, client: httpx.Client, listen: Callable[[int], None]
) -> None:
    for service in ("bookings", "residents", "notifications", "console"):
        with ThreadPoolExecutor(1) as pool:
            began = time.monotonic()
            asked = pool.submit(client.get, f"/{service}/v1/openapi.json")
            time.sleep(0.2)
            listen(shared_home.service_port(service))
            moment = time.monotonic() - began
        if moment < 0.3:
            break  # else this machine had other things to do, and it was away for longer than a moment
    assert asked.result().status_code == 200


def test_a_client_that_asks_too_often_is_told_so_in_words(client: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.get("/tickets/v1/tickets"), range(150)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert len(refused) < 120
    assert "/problems/429" in refused[0].text
    assert refused[0].headers["Retry-After"] == "1"
