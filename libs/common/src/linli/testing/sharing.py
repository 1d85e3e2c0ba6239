"""How tests are shared out among pytest-xdist's workers."""

import pytest

_PATIENCE = 60.0
"""Seconds that a test has which asks for no time-out of its own."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep each module on one worker, unless it names a group, and begin with what may take longest.

    A worker that has a whole module sets up its service and databases once. What takes long and begins last would leave
    the other workers with nothing to do.
    """
    patience: dict[str, float] = {}
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.location[0]))
        patience[_group(item)] = max(patience.get(_group(item), _PATIENCE), _patience(item))
    items.sort(key=lambda item: -patience[_group(item)])


def _group(item: pytest.Item) -> str:
    marker = item.get_closest_marker("xdist_group")
    return str(marker.args[0]) if marker else ""


def _patience(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else _PATIENCE
