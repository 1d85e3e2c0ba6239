"""Who reaches whom: the network policies, worked out as a cluster's network does, against the table of needed flows."""

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from itertools import product
from typing import Any

import pytest
from tests.deploy.manifests import OVERLAYS, SCALED, Resource, containers, of_kind, pods

from linli_cli.home import APPS, CONSOLE

PORTS = (80, 443, 4222, 4318, 5432, 6222, 6443, 8000, 8222, 8889, 9187, 13133)


@dataclass(frozen=True)
class Party:
    """A pod, or an address outside of the cluster."""

    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    address: str = ""


OUTSIDE = {
    "traefik": Party("traefik", {"app.kubernetes.io/name": "traefik"}),
    "k3s' traefik": Party("kube-system", {"app.kubernetes.io/name": "traefik"}),
    "keda": Party("keda"),
    "cloudnative-pg": Party("cnpg-system"),
    "prometheus": Party("monitoring"),
    "traces": Party("observability"),
    "names": Party("kube-system", {"k8s-app": "kube-dns"}),
    "a stranger": Party("default", {"app.kubernetes.io/name": "tickets", "app.kubernetes.io/component": "service"}),
    "the internet": Party(address="203.0.113.7"),
    "a private network": Party(address="10.1.2.3"),
    "a machine's metadata": Party(address="169.254.169.254"),
}
ANYWHERE = OUTSIDE.keys()


def _inside(overlay: str) -> dict[str, Party]:
    found = {
        owner.split()[1]: Party(
            "linli",
            template["metadata"]["labels"],
            {port["name"]: port["containerPort"] for c in containers(template) for port in c.get("ports", [])},
        )
        for owner, template in pods(overlay)
    }
    for cluster in of_kind(overlay, "Cluster"):
        name = cluster["metadata"]["name"]
        found[name] = Party("linli", {**cluster["spec"]["inheritedMetadata"]["labels"], "cnpg.io/cluster": name})
    return found


def _selects(selector: Resource, labels: dict[str, str]) -> bool:
    for wanted in selector.get("matchExpressions", []):
        assert wanted["operator"] in {"In", "NotIn"}
        if (labels.get(wanted["key"]) in wanted["values"]) != (wanted["operator"] == "In"):
            return False
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def _is(peer: Resource, party: Party) -> bool:
    if block := peer.get("ipBlock"):
        if not party.address:
            return False
        address = ip_address(party.address)
        within = address in ip_network(block["cidr"])
        return within and not any(address in ip_network(without) for without in block.get("except", []))
    if party.address:
        return False
    if (namespaces := peer.get("namespaceSelector")) is None:
        chosen = party.namespace == "linli"
    else:
        chosen = _selects(namespaces, {"kubernetes.io/metadata.name": party.namespace})
    return chosen and _selects(peer.get("podSelector", {}), party.labels)


def _admits(overlay: str, way: str, source: Party, target: Party, port: int) -> bool:
    """Tell whether the policies of the target (Ingress) or of the source (Egress) let a connection pass."""
    own, other = (target, source) if way == "Ingress" else (source, target)
    if own.namespace != "linli":
        return True
    policies = [
        policy["spec"]
        for policy in of_kind(overlay, "NetworkPolicy")
        if way in policy["spec"]["policyTypes"] and _selects(policy["spec"]["podSelector"], own.labels)
    ]
    assert policies, "a pod that no policy denies anything"
    key, peers = ("ingress", "from") if way == "Ingress" else ("egress", "to")
    return any(
        (peers not in rule or any(_is(peer, other) for peer in rule[peers]))
        and any(
            target.ports.get(each["port"], each["port"]) == port and each.get("protocol", "TCP") == "TCP"
            for each in rule["ports"]
        )
        for policy in policies
        for rule in policy.get(key, [])
    )


def _flows(overlay: str) -> set[tuple[str, str, int]]:
    parties: dict[str, Party] = {**_inside(overlay), **OUTSIDE}
    return {
        (source, target, port)
        for (source, a), (target, b), port in product(parties.items(), parties.items(), PORTS)
        if "linli" in {a.namespace, b.namespace}
        and _admits(overlay, "Egress", a, b, port)
        and _admits(overlay, "Ingress", a, b, port)
    }


def _wanted(overlay: str) -> set[tuple[str, str, int]]:
    flows: set[tuple[str, str, int]] = {
        ("migrate", "postgres", 5432),
        ("streams", "nats", 4222),
        ("nats", "nats", 6222),
    }
    flows |= {("keda", "nats", 8222), ("directory", "the internet", 443)}
    for service in APPS:
        flows |= {("traefik", service, 8000), ("k3s' traefik", service, 8000)}
        flows.add((service, "postgres", 5432))
        if service != "directory":
            flows.add((service, "directory", 8000))
        if service != CONSOLE:
            flows |= {(service, "nats", 4222), (service, CONSOLE, 8000)}
    if overlay == SCALED:
        flows |= {(service, "otel-collector", 4318) for service in APPS}
        flows |= {("otel-collector", "traces", 4318), ("prometheus", "otel-collector", 8889)}
        flows |= {("postgres", "postgres", port) for port in (5432, 8000)}
        flows |= {("cloudnative-pg", "postgres", port) for port in (5432, 8000)}
        flows.add(("prometheus", "postgres", 9187))
        # To the cluster's own API, wherever it is.
        flows |= {("postgres", target, port) for target in ANYWHERE for port in (443, 6443)}
    return flows


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_exactly_the_needed_flows_are_open(overlay: str) -> None:
    assert _flows(overlay) == _wanted(overlay)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everybody_may_ask_for_names(overlay: str) -> None:
    (policy,) = (p["spec"] for p in of_kind(overlay, "NetworkPolicy") if p["metadata"]["name"] == "names")
    (rule,) = policy["egress"]
    ports: list[dict[str, Any]] = rule["ports"]
    assert policy["podSelector"] == {}
    assert ports == [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    assert [name for name, party in OUTSIDE.items() if _is(rule["to"][0], party)] == ["names"]
