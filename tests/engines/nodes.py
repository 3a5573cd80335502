"""A Ray cluster of three nodes on this machine."""

from __future__ import annotations

import logging
from contextlib import suppress

OPTIONS = {"object_store_memory": 80 * 2**20}
SYSTEM = {"health_check_period_ms": 500, "health_check_timeout_ms": 500, "health_check_failure_threshold": 2}
"""A lost node is noticed in a second, not in fifteen."""


class Nodes:
    """A head without CPUs and two nodes with one CPU each (and a GPU, as far as Ray knows), which come back when they are lost."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": SYSTEM, **OPTIONS}
        self._own = Cluster(initialize_head=True, head_node_args=head)
        self.complete()

    @property
    def address(self) -> str:
        return str(self._own.address)

    def complete(self) -> None:
        for node in list(self._own.worker_nodes):
            if "raylet" not in dict(node.live_processes()):
                with suppress(Exception):
                    self._own.remove_node(node)
        while len(self._own.worker_nodes) < 2:
            self._own.add_node(wait=True, num_cpus=1, num_gpus=1, **OPTIONS)

    def actors(self) -> list[str]:
        """The states of all actors that are not dead."""
        from ray import init, shutdown
        from ray._private.state import actors

        init(self.address, log_to_driver=False, logging_level=logging.ERROR)
        try:
            return [actor["State"] for actor in actors().values() if actor["State"] != "DEAD"]
        finally:
            shutdown()

    def end(self) -> None:
        self._own.shutdown()
