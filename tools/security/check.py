# ruff: noqa: INP001 it is run by its path
"""What `make security` checks: that no locked package has a known weakness, and no secret lies among the files.

    python tools/security/check.py packages | secrets

Weaknesses are known to services on the internet. Where none of them answers, nothing was looked at, and it says so:
that is neither. A closed network can have an OSV service (漏洞库) of its own, named by pip-audit's own variable
PIP_AUDIT_OSV_URL: it is asked alone, and not to answer is a failure, for somebody said that it is there.

Secrets are looked for by detect-secrets; what it takes for one and isn't stands in `.secrets.baseline`, each by its
hash and looked at by a person (`"is_secret": false`).
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

PROJECT: Final = Path(__file__).resolve().parents[2]
BASELINE: Final = ".secrets.baseline"
_PIP_AUDIT: Final = (str(Path(sysconfig.get_path("scripts")) / "pip-audit"),)
_ASKED: Final = ("pypi", "osv")
"""The services, in the order in which they are asked."""
_OWN: Final = "PIP_AUDIT_OSV_URL"
_HOW: Final = ("--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off", "--timeout", "10")
_AWAY: Final = (
    "ConnectionError",
    "Could not connect",
    "Max retries",
    "Timeout",
    "timed out",
    "ServiceError",
    "JSONDecode",
)
_SECONDS: Final = 300


def packages(pip_audit: Sequence[str] = _PIP_AUDIT, lock: Path = PROJECT / "requirements.lock") -> int:
    """Look every locked package up; gives the exit code.

    Args:
        pip_audit: the command.
        lock: the packages, each with its version and hashes.
    """
    own = _OWN in os.environ
    for service in ("osv",) if own else _ASKED:
        found = _ask([*pip_audit, "--requirement", str(lock), *_HOW, "--vulnerability-service", service])
        if isinstance(found, int):
            return found
        # What a service does not know it passes over, and still says that there are no known vulnerabilities.
        looked_at = [one for one in found if "skip_reason" not in one]
        weak = [one for one in looked_at if one["vulns"]]
        for one in weak:
            ids = ", ".join(
                f"{known['id']} (fixed in {known['fix_versions'] or 'no version'})" for known in one["vulns"]
            )
            print(f"✗ {one['name']} {one['version']}: {ids}")
        if looked_at:
            print(
                f"{len(looked_at)} of {len(found)} packages looked up at {service}, {len(weak)} with a known weakness."
            )
            print(f"已在 {service} 查询 {len(looked_at)}/{len(found)} 个软件包，{len(weak)} 个存在已知漏洞。")
            return 1 if weak else 0
    if own:
        print(
            f"✗ The OSV service that {_OWN} names does not answer, nothing was looked up."
            " Its whole address is meant, like https://osv.example.gov.cn/v1/query.\n"
            f"✗ {_OWN} 指定的 OSV 漏洞库未应答，未作任何查询。须填完整地址，如 https://osv.example.gov.cn/v1/query。"
        )
        return 1
    print("No service that knows weaknesses of packages answers here: pip-audit was LEFT OUT, nothing was looked up.")
    print("无法访问漏洞库，软件包漏洞检查已跳过，未作任何查询。")
    return 0


def _ask(command: Sequence[str]) -> list[dict[str, Any]] | int:
    """Ask a service about every package: what it says, nothing when it does not answer, else the exit code."""
    try:
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return []
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        if done.returncode and any(word in done.stderr for word in _AWAY):
            print(done.stderr.strip().splitlines()[-1], file=sys.stderr)  # the last line of a traceback says why
            return []
        print(done.stderr, file=sys.stderr)
        return done.returncode or 1
    return found


def secrets(project: Path = PROJECT) -> int:
    """Look for secrets in all files that are, or could be, committed; gives the exit code.

    Args:
        project: where the files and their baseline are.
    """
    from detect_secrets.core import baseline as baselines  # noqa: PLC0415 as above
    from detect_secrets.core.secrets_collection import SecretsCollection  # noqa: PLC0415 the other check needs none of it
    from detect_secrets.settings import transient_settings  # noqa: PLC0415 as above

    baseline = baselines.load_from_file(str(project / BASELINE))
    known = {
        (file, one["type"], one["hashed_secret"]): one.get("is_secret")
        for file, several in baseline["results"].items()
        for one in several
    }
    with transient_settings({"plugins_used": baseline["plugins_used"], "filters_used": baseline["filters_used"]}):
        found = SecretsCollection(root=str(project))
        found.scan_files(*_files(project))
    wrong = [(file, one) for file, one in found if known.get((file, one.type, one.secret_hash)) is not False]
    for file, one in wrong:
        print(f"✗ {file}:{one.line_number}: {one.type}")
    if wrong:
        print(
            "A secret never belongs here: take it out, and change it wherever it is good for something.\n"
            f"What only looks like one: `.venv/bin/detect-secrets scan --no-verify --baseline {BASELINE}`,"
            f" then `.venv/bin/detect-secrets audit {BASELINE}`.\n"
            "仓库中不得存放密钥：请移除并立即更换；误报请用上述命令登记。"
        )
    else:
        print(f"No secret in the files; {len(known)} that only look like one are known.  未发现密钥。")
    return 1 if wrong else 0


def _files(project: Path) -> list[str]:
    git = shutil.which("git") or "git"
    command = [git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60, check=True).stdout
    names = dict.fromkeys(listed.split("\0"))
    return [name for name in names if name and name != BASELINE and (project / name).is_file()]


CHECKS: Final[dict[str, Callable[[], int]]] = {"packages": packages, "secrets": secrets}

if __name__ == "__main__":
    raise SystemExit(CHECKS[sys.argv[1]]())
