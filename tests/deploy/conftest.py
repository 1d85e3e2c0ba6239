"""Fixtures of the deployments' tests."""

from pathlib import Path

import pytest
from tests.deploy import manifests


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Name the folder of a deployment that is made together with the cluster's Secrets."""
    return tmp_path_factory.mktemp("deployment") / "home"


@pytest.fixture(scope="session")
def cluster_secrets(deployment: Path) -> dict[str, manifests.Resource]:
    return manifests.secrets(deployment)
