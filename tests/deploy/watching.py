"""What the platform is watched with: alert rules and dashboards."""

import json
from functools import cache
from typing import Any

import yaml
from tests.deploy.manifests import PROJECT

OBSERVABILITY = PROJECT / "deploy/observability"
ALERTS = OBSERVABILITY / "alerts.yml"
RUNBOOKS = PROJECT / "docs/runbooks"


def settings(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((OBSERVABILITY / name).read_text("utf-8"))
    return content


@cache
def rules() -> list[dict[str, Any]]:
    return [rule for group in settings("alerts.yml")["groups"] for rule in group["rules"]]


@cache
def dashboards() -> dict[str, Any]:
    return {path.name: json.loads(path.read_text("utf-8")) for path in OBSERVABILITY.rglob("dashboards/*.json")}
