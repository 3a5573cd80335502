"""One Ray cluster for all tests of a process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from nodes import Nodes

from hardneg.engines.ray import Ray


@pytest.fixture(scope="session")
def cluster() -> Iterator[Nodes]:
    here = Path(__file__).parents[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "PYTHONPATH", os.pathsep.join([*(str(here / room) for room in ("", "engines", "pipeline")), *sys.path])
        )
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        nodes = Nodes()
        yield nodes
        nodes.end()


@pytest.fixture
def nodes(cluster: Nodes) -> Iterator[Nodes]:
    cluster.complete()
    yield cluster
    Ray().close()
