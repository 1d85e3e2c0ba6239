"""What the platform is watched with can hurt nobody, is the same everywhere, and tells people what to do."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy.manifests import K8S, PROJECT, SCALED, Resource, compose, one
from tests.deploy.watching import ALERTS, OBSERVABILITY, RUNBOOKS, dashboards, rules, settings

from linli_cli.deploy import files
from linli_cli.home import SERVICES
from linli_cli.main import COMMANDS

HEADINGS = ("## 影响 What it means", "## 查看 See it", "## 处理 Do", "## 上报 Escalate")
WATCHING = {name: compose()["services"][name] for name in files.WATCHING}
PLATFORM = {name: service for name, service in compose()["services"].items() if name not in WATCHING}
RULES = K8S / "components/alerts/rules.yaml"
_AS_RESOURCE = """\
# Made of deploy/observability/alerts.yml: a test holds the two together.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: linli
  labels: {{ app.kubernetes.io/name: alerts, app.kubernetes.io/component: telemetry }}
spec:
{rules}"""

every_part = pytest.mark.parametrize("name", WATCHING)
every_rule = pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))


def test_the_platform_neither_starts_nor_waits_for_what_watches_it() -> None:
    assert all(service["profiles"] == ["observability"] for service in WATCHING.values())
    assert not any("observability" in service.get("profiles", ()) for service in PLATFORM.values())
    for name, service in PLATFORM.items():
        assert not WATCHING.keys() & set(service.get("depends_on", ())), name
        assert not WATCHING.keys() & set(service.get("links", ())), name
    # Nor the other way: `up` of these begins nothing of the platform anew.
    assert not any("depends_on" in service for service in WATCHING.values())


@every_part
def test_it_may_do_no_more_than_the_platform_itself(name: str) -> None:
    service = WATCHING[name]
    for setting in ("read_only", "cap_drop", "security_opt", "tmpfs", "logging", "restart"):
        assert service[setting] == PLATFORM["nats"][setting], setting
    user, group = service["user"].split(":")
    assert int(user) > 0 < int(group)
    assert service["deploy"]["resources"]["limits"].keys() == {"memory", "cpus", "pids"}
    assert "privileged" not in service
    for volume in service.get("volumes", []):
        source = volume["source"] if isinstance(volume, dict) else volume.split(":")[0]
        # A volume of its own, or files of ours that it can't write and that are never made up by the engine.
        assert source in {"metrics", "grafana"} or (volume["read_only"] and not volume["bind"]["create_host_path"])


@every_part
def test_its_image_is_of_one_release_from_where_the_environment_says(name: str) -> None:
    image = WATCHING[name]["image"]
    default = re.fullmatch(rf"\$\{{{files.WATCHING[name]}:-\$\{{LINLI_HUB:-\}}([\w./-]+:v?\d+\.\d+\.\d+)\}}", image)
    assert default, image
    if name == "otel-collector":
        (container,) = one(SCALED, "Deployment", name)["spec"]["template"]["spec"]["containers"]
        assert container["image"] == default[1]


def test_only_grafana_is_reached_and_only_from_this_machine_with_a_password() -> None:
    published = {name: service["ports"] for name, service in WATCHING.items() if "ports" in service}
    assert list(published) == ["grafana"]
    assert all(port.startswith("127.0.0.1:") for port in published["grafana"])
    told = WATCHING["grafana"]["environment"]
    assert told["GF_AUTH_ANONYMOUS_ENABLED"] == told["GF_USERS_ALLOW_SIGN_UP"] == "false"
    for name in ("GF_SECURITY_ADMIN_PASSWORD__FILE", "GF_SECURITY_SECRET_KEY__FILE"):
        assert Path(told[name]).name in WATCHING["grafana"]["secrets"]
    assert not any("PASSWORD" in key and not key.endswith("__FILE") for key in told)


def test_only_the_collector_is_where_the_services_are() -> None:
    networks = compose()["networks"]
    assert networks["telemetry"] == {"internal": True}
    near = {network for service in PLATFORM.values() for network in service.get("networks", ())}
    assert {name for name, service in WATCHING.items() if near & set(service["networks"])} == {"otel-collector"}


def test_what_is_kept_has_an_end() -> None:
    command = WATCHING["prometheus"]["command"]
    assert "--storage.tsdb.retention.time=15d" in command
    assert "--storage.tsdb.retention.size=2GB" in command
    (storage,) = settings("jaeger.yaml")["extensions"]["jaeger_storage"]["backends"].values()
    assert storage == {"memory": {"max_traces": 20000}}
    for exporter in ("otlphttp",):
        assert settings("collector.yaml")["exporters"][exporter].keys() >= {"sending_queue", "retry_on_failure"}


@pytest.mark.parametrize("pipeline", ["traces", "metrics"])
def test_the_collector_does_the_same_in_kubernetes(pipeline: str) -> None:
    here, there = settings("collector.yaml"), _settings_in_kubernetes()
    assert here["service"]["pipelines"][pipeline] == there["service"]["pipelines"][pipeline]
    assert here["processors"] == there["processors"]
    assert here["exporters"]["prometheus"] == there["exporters"]["prometheus"]
    assert here["receivers"] == there["receivers"]


def _settings_in_kubernetes() -> Any:  # noqa: ANN401 as YAML has it
    return yaml.safe_load(one(SCALED, "ConfigMap", "otel-collector")["data"]["config.yaml"])


@pytest.mark.parametrize("name", ["collector.yaml", "jaeger.yaml"])
def test_all_that_pipelines_name_is_defined_and_all_that_is_defined_is_named(name: str) -> None:
    content = settings(name)
    for kind in ("receivers", "processors", "exporters"):
        used = {part for pipeline in content["service"]["pipelines"].values() for part in pipeline[kind]}
        assert used == set(content[kind]), kind
    assert set(content["service"].get("extensions", [])) == set(content.get("extensions", {}))


def test_each_finds_the_other_by_its_name_and_port() -> None:
    metrics = settings("collector.yaml")["exporters"]["prometheus"]["endpoint"].rpartition(":")[2]
    (scraped,) = settings("prometheus.yml")["scrape_configs"]
    assert scraped["static_configs"] == [{"targets": [f"otel-collector:{metrics}"]}]
    takes = settings("jaeger.yaml")["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]
    assert settings("collector.yaml")["exporters"]["otlphttp"]["endpoint"] == f"http://jaeger:{takes}"
    sources = {source["uid"]: source for source in settings("grafana/datasources/linli.yaml")["datasources"]}
    asked = settings("jaeger.yaml")["extensions"]["jaeger_query"]["http"]["endpoint"].rpartition(":")[2]
    assert sources["jaeger"]["url"] == f"http://jaeger:{asked}"
    assert sources["prometheus"]["url"] == "http://prometheus:9090"
    for dashboard in dashboards().values():
        assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} <= sources.keys()


def test_dashboards_are_small_and_whole() -> None:
    shown = dashboards()
    assert shown.keys() == {"overview.json", "events.json", "clocks.json"}
    assert len({dashboard["uid"] for dashboard in shown.values()}) == len(shown)
    for name, dashboard in shown.items():
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]), name
        taken = [
            (x, y)
            for place in (panel["gridPos"] for panel in dashboard["panels"])
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        assert len(set(taken)) == len(taken), name
        assert max(x for x, _ in taken) < 24, name
    home = WATCHING["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    (provider,) = settings("grafana/dashboards/linli.yaml")["providers"]
    assert Path(home).parent == Path(provider["options"]["path"])
    assert Path(home).name in shown


def test_every_service_is_missed_when_it_is_absent() -> None:
    (absent,) = (rule["expr"] for rule in rules() if rule["alert"] == "ServiceAbsent")
    assert set(re.findall(r'service_name="(\w+)"', absent)) == set(SERVICES)


@every_rule
def test_an_alert_says_what_is_wrong_in_two_languages_and_where_to_read_on(rule: Resource) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert re.search(r"[\u4e00-\u9fff].*[。！] .*[a-z]{3,}.*\.$", rule["annotations"]["summary"])
    assert rule["annotations"]["runbook"] == f"docs/runbooks/{rule['alert']}.md"
    assert (PROJECT / rule["annotations"]["runbook"]).exists()


@every_rule
def test_a_run_book_is_complete(rule: Resource) -> None:
    text = (RUNBOOKS / f"{rule['alert']}.md").read_text("utf-8")
    assert text.startswith(f"# {rule['alert']} ")
    parts = re.split(r"^(## .*)$", text, flags=re.MULTILINE)
    assert tuple(parts[1::2]) == HEADINGS
    assert all(part.strip() for part in parts[2::2])
    assert f"[{rule['alert']}]({rule['alert']}.md)" in (RUNBOOKS / "README.md").read_text("utf-8")


def test_run_books_are_of_alerts_and_name_what_there_is() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {rule["alert"] for rule in rules()} | {"README"}
    for path in RUNBOOKS.glob("*.md"):
        text = path.read_text("utf-8")
        for command in re.findall(r"(?:`|^)linli ([\w-]+)", text, re.MULTILINE):
            assert command in COMMANDS, f"{path.name}: linli {command}"
        for named in re.findall(r"docker compose (?:logs|ps|restart|exec|up|kill)((?: [\w=./-]+)*)", text):
            words = [word for word in named.split() if re.fullmatch(r"[a-z][a-z-]+", word)]
            assert not words or {*words} & compose()["services"].keys(), f"{path.name}: {named}"
        for link in re.findall(r"\]\((\w+\.md)", text):
            assert (RUNBOOKS / link).exists(), f"{path.name}: {link}"


def test_the_rules_are_the_same_in_kubernetes() -> None:
    lines = ALERTS.read_text("utf-8").split("groups:\n", 1)[1].splitlines()
    indented = "".join(f"  {line}\n" if line else "\n" for line in ["groups:", *lines])
    # When it fails: the text on the right is what the file should be.
    assert RULES.read_text("utf-8") == _AS_RESOURCE.format(rules=indented)


def test_what_is_installed_is_what_is_here() -> None:
    brought = {name for name, _ in files.sources()}
    assert {f"observability/{path.relative_to(OBSERVABILITY)}" for path in OBSERVABILITY.rglob("*.*")} <= brought
    assert {f"runbooks/{path.name}" for path in RUNBOOKS.glob("*.md")} <= brought
    mounted = [config["file"] for config in compose()["configs"].values()]
    mounted += [volume["source"] for volume in WATCHING["grafana"]["volumes"] if isinstance(volume, dict)]
    for path in mounted:
        assert any(name.startswith(path.removeprefix("./")) for name in brought), path
