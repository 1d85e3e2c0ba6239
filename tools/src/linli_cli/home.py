"""A platform's home: where its secrets and its port are, and the embedded stack's data and logs.

The embedded stack has `.linli/`; a deployment in containers has the folder that `linli init` made.
"""

import base64
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from linli_cli.console import Trouble

SERVICES = ("directory", "residents", "tickets", "points", "bookings", "notifications")
"""Those that keep districts' data and tell each other of it, in the order of their ports."""
CONSOLE = "console"
"""Watches them: it has a database and an address as they have, keeps nothing of districts, and needs no broker."""
APPS = (*SERVICES, CONSOLE)
"""All that run as services do."""
PROJECT = Path(__file__).resolve().parents[3]
_DEFAULT_PORT = 8080
_HIGHEST_OFFSET = 24


@dataclass(frozen=True)
class Home:
    """Paths, ports and secrets of one platform."""

    root: Path
    port: int
    """The gateway's."""
    address: str = ""
    """The gateway's, for who reaches it elsewhere than on this machine's loopback: `LINLI_URL`."""

    @classmethod
    def find(cls) -> "Home":
        """Give the platform of `LINLI_HOME`, or the stack beside the Makefile, on the port it was last started on."""
        root = Path(os.environ.get("LINLI_HOME") or PROJECT / ".linli").absolute()
        address = os.environ.get("LINLI_URL", "").rstrip("/")
        if (root / ".env").exists():
            said = dotenv_values(root / ".env")
            port = int(said["LINLI_PORT"] or _DEFAULT_PORT)
            if domain := said.get("LINLI_DOMAIN"):  # it speaks HTTPS, and its certificate is for this name
                address = address or f"https://{domain}:{port}".removesuffix(":443")
            return cls(root, port, address)
        remembered = root / "run" / "port"
        port = int(remembered.read_text()) if remembered.exists() else (wished_port() or _DEFAULT_PORT)
        return cls(root, port, address)

    @classmethod
    def embedded(cls) -> "Home":
        """Give the same, for commands that handle the embedded stack's own processes.

        Raises:
            Trouble: when it is a deployment in containers.
        """
        home = cls.find()
        if home.in_containers:
            raise Trouble(
                f"{home.root} runs in containers; this command is for the embedded stack.",
                f"{home.root} 以容器方式运行，此命令仅用于嵌入式环境。",
                hint=f"cd {home.root} && docker compose --help",
            )
        return home

    @property
    def in_containers(self) -> bool:
        """Whether `linli init` made it."""
        return (self.root / ".env").exists()

    @property
    def inside(self) -> bool:
        """Whether this is one of the deployment's containers, which has its secrets and no settings."""
        return not self.in_containers and (self.secrets / "admin_nats_url").exists()

    @property
    def secrets(self) -> Path:
        """One file a secret."""
        return self.root / "secrets"

    @property
    def data(self) -> Path:
        """Databases and streams."""
        return self.root / "data"

    @property
    def files(self) -> Path:
        """Photos and files of tickets, unless `LINLI_FILES` names another place."""
        return self.root / "files"

    @property
    def spool(self) -> Path:
        """The databases' log on its way to where backups are, unless `linli backup wal --spool` names another place."""
        return self.root / "wal"

    @property
    def logs(self) -> Path:
        """One file a process."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Generated configuration and the remembered port."""
        return self.root / "run"

    @property
    def first_run_done(self) -> Path:
        """Exists once the demo was loaded; lies with the data, because it speaks of them."""
        return self.data / "first-run"

    def create(self) -> None:
        """Make the folders, with these rights whatever the umask and whoever changed them.

        The database's own user passes through three of them, so others may too, but list nothing.
        """
        passed = dict.fromkeys((self.root, self.data, self.run), 0o711)
        closed = dict.fromkeys((self.logs, self.secrets), 0o700)
        for folder, mode in (passed | closed).items():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode)

    def remember(self) -> None:
        """Keep the port for `down`, `doctor`, `token` and the next `up`."""
        (self.run / "port").write_text(f"{self.port}\n")

    @property
    def url(self) -> str:
        """The gateway's address."""
        return self.address or f"http://127.0.0.1:{self.port}"

    def service_port(self, service: str) -> int:
        """The port a service listens on behind the gateway."""
        return self.port + 1 + APPS.index(service)

    @property
    def postgres_port(self) -> int:
        """PostgreSQL's port."""
        return self.port + 20

    @property
    def nats_port(self) -> int:
        """The port NATS takes clients on."""
        return self.port + 21

    @property
    def monitor_port(self) -> int:
        """The port NATS tells its state on."""
        return self.port + 22

    @property
    def ping_port(self) -> int:
        """The port the gateway tells on that it is alive."""
        return self.port + 23

    @property
    def supervisor_port(self) -> int:
        """The port the supervisor takes orders on, with a password."""
        return self.port + _HIGHEST_OFFSET

    def secret(self, name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> str:
        """Read a secret; the first time, make it and keep it readable by its owner only.

        Raises:
            Trouble: when this account may not, or cannot.
        """
        path = self.secrets / name
        try:
            return path.read_text() if path.exists() else _keep(path, make())
        except OSError as error:
            raise Trouble(
                f"The secret {path} cannot be read or made: {error.strerror}.",
                f"无法读取或创建密钥文件 {path}。",
                hint="Only the account that started the platform may read its secrets: run the command as that one.  "
                "只有启动平台的账号可以读取密钥，请用该账号执行。\n"
                f"ls -la {path.parent}",
            ) from error

    def master_key(self) -> str:
        """The key that wraps the districts' data keys: 32 bytes in base64."""
        return self.secret("master_key", lambda: base64.b64encode(secrets.token_bytes(32)).decode())

    def require(self) -> None:
        """Refuse when there is no platform here.

        Raises:
            Trouble: when none was ever started.
        """
        if not (self.address or self.in_containers or (self.run / "port").exists()):
            raise Trouble(
                f"There is no embedded stack in {self.root}.",
                f"{self.root} 中没有嵌入式环境。",
                hint="Start one with `make up`; LINLI_HOME names another place.  "
                "用 make up 启动，LINLI_HOME 可指定其他位置。",
            )


def _keep(path: Path, value: str) -> str:
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(value)
    draft.replace(path)  # whole or not at all, also when the machine stops just here
    return value


def wished_port() -> int | None:
    """Read LINLI_PORT.

    Raises:
        Trouble: when it is no usable port.
    """
    text = os.environ.get("LINLI_PORT")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 1024 <= int(text) <= 65535 - _HIGHEST_OFFSET):  # noqa: PLR2004
        raise Trouble(
            f"LINLI_PORT={text} is no usable port: take a number from 1024 to {65535 - _HIGHEST_OFFSET}.",
            f"LINLI_PORT={text} 不可用：请使用 1024 到 {65535 - _HIGHEST_OFFSET} 之间的端口。",
        )
    return int(text)
