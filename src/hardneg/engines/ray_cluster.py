"""Joining a Ray cluster, and what is in it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO, cast

import ray

from hardneg import progress
from hardneg.errors import JobError

FORWARDED = (
    "HARDNEG_",
    "HF_",
    "TRANSFORMERS_",
    "TOKENIZERS_",
    "TORCH_",
    "NUMBA_",
    "OMP_",
    "MKL_",
    "OPENBLAS_",
)
"""How the names of the environment variables begin that workers have as the driver has them."""
SECRET = ("TOKEN", "KEY", "SECRET", "PASSWORD")
"""How the names of those end that Ray is not told: it shows the environment of workers to all who see the cluster."""
NO_GPU = "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"
"""Whether a worker without GPUs sees none."""
PATIENCE = 10.0
"""Seconds that a cluster has to answer."""


@contextmanager
def joined(address: str | None, runtime_env: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Inside, this process is the driver of a job on the cluster. Yields the environment of its workers.

    Where it is one already, that is left as it is, and said where ``address`` is another one's. Raises `JobError` where
    the cluster cannot be joined.
    """
    own = {"env_vars": {NO_GPU: "1"} | _forwarded() | dict(runtime_env.get("env_vars", {}))}
    if ray.is_initialized():
        there = str(ray.get_runtime_context().gcs_address)
        if address not in (None, "auto", there):
            progress.note(
                f"engine.address: {address} is not joined: this process is on the Ray cluster at {there} already; call "
                "`ray.shutdown()` first"
            )
        yield {**runtime_env, **own}
        return
    with redirect_stdout(sys.stderr):
        _join(address, runtime_env)
    with redirect_stdout(cast("TextIO", _Apart(sys.stdout))):
        try:
            yield own
        finally:
            ray.shutdown()


class _Apart:
    """Standard output without what Ray's threads print of its workers: results are not to be mixed with that."""

    def __init__(self, own: TextIO) -> None:
        self._own = own

    def write(self, text: str) -> int:
        """Writes; what a thread of Ray's writes goes to standard error."""
        return (sys.stderr if threading.current_thread().name.startswith("ray_") else self._own).write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


def _join(address: str | None, runtime_env: Mapping[str, Any]) -> None:
    address = address or os.environ.get("RAY_ADDRESS")
    _knock(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that we start sends nothing to its makers
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address,
            runtime_env=dict(runtime_env) or None,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise JobError(_unreachable(address, error)) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray sets its own


def _knock(address: str | None) -> None:
    """Raises `JobError` where nobody answers: Ray itself waits for minutes and then ends the process."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except OSError as error:
        raise JobError(_unreachable(address, error)) from error


def _unreachable(address: str | None, error: Exception) -> str:
    where = f" at {address}" if address else ""
    reason = " ".join(str(error).split())[:300]
    return (
        f"engine.address: no Ray cluster{where} can be joined ({reason}); see `ray status` on its machines, or start "
        "one with `ray start --head` and take the address that it prints"
    )


def _forwarded() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(FORWARDED) and not name.upper().endswith(SECRET)
    }


def room(cpus: float, gpus: float) -> int:
    """How many workers the machines have room for that are there now."""

    def fitting(has: Mapping[str, float]) -> int:
        each = [has.get("CPU", 0) / cpus]
        if gpus:
            each.append(has.get("GPU", 0) / gpus)
        return int(min(each) + 1e-9)

    return sum(fitting(node["Resources"]) for node in _nodes())


def alive(node: str) -> bool:
    """Whether a machine is there, as far as the cluster knows."""
    return any(entry["NodeID"] == node for entry in _nodes())


def _nodes() -> list[dict[str, Any]]:
    listed: Any = ray.nodes
    return [node for node in listed() if node["Alive"]]
