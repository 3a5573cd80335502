"""The workers of a stage on a Ray cluster: started, given a shard each, replaced when they die, ended."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import ray
from ray.exceptions import ActorDiedError, RayError, RaySystemError, RayTaskError

from hardneg import progress
from hardneg.engines.ray_cluster import alive
from hardneg.engines.ray_worker import Meeting, Worker
from hardneg.errors import HardnegError, JobError, WorkerError

T = TypeVar("T")
R = TypeVar("R")
DEATHS = 3
"""So many workers may die of a shard before it is given up. One that was lost with its machine is a third of a death:
others were lost with it, and any of them may be to blame."""
STILLBORN = 3
"""So many workers in a row may die before they have answered."""


@dataclass(frozen=True, slots=True)
class _Hand:
    """A worker, and the id of its machine once that is known."""

    actor: Any
    node: str = ""


@dataclass(slots=True)
class Crew:
    """From ``least`` to ``most`` workers with the same ``options`` for Ray. Each works on one shard at a time."""

    options: Mapping[str, Any]
    meeting: Meeting
    least: int
    most: int
    _starting: dict[Any, _Hand] = field(default_factory=dict)
    _idle: list[_Hand] = field(default_factory=list)
    _busy: dict[Any, tuple[_Hand, int]] = field(default_factory=dict)
    _stillborn: int = 0

    def work(self, function: Callable[[T], R], shards: Sequence[T]) -> Iterator[R]:
        """``function(shard)`` of every shard, as each is done. Raises `WorkerError` for those that workers die of."""
        waiting, deaths, lost = deque(range(len(shards))), Counter[int](), list[int]()
        task = ray.put(function)
        while waiting or self._busy:
            self._staff(len(waiting) + len(self._busy))
            while waiting and self._idle:
                hand, number = self._idle.pop(), waiting.popleft()
                self._busy[hand.actor.work.remote(task, shards[number])] = hand, number
            for reference in self._done():
                if reference in self._starting:
                    self._met(reference)
                    continue
                hand, number = self._busy.pop(reference)
                try:
                    result, notes = ray.get(reference)
                except RayTaskError as error:
                    self._idle.append(hand)
                    if not isinstance(error.cause, MemoryError):
                        raise _own(error) from error
                    deaths[number] += DEATHS
                except RayError as error:
                    _end(hand)
                    sure = isinstance(error, ActorDiedError) and not error.preempted and alive(hand.node)
                    deaths[number] += DEATHS if sure else 1
                else:
                    self._idle.append(hand)
                    for text in notes:
                        progress.note(text)
                    yield result
                    continue
                (waiting if deaths[number] < DEATHS**2 else lost).append(number)
        if lost:
            raise WorkerError([shards[number] for number in sorted(lost)])

    def _staff(self, wanted: int) -> None:
        """Starts workers for so many shards, or ends those that no shard waits for."""
        count = len(self._starting) + len(self._idle) + len(self._busy)
        for _ in range(min(wanted, self.most) - count):
            actor: Any = ray.remote(Worker).options(**self.options).remote()
            self._starting[actor.meet.remote(self.meeting)] = _Hand(actor)
        for _ in range(count - max(wanted, self.least)):
            if self._starting:
                _end(self._starting.popitem()[1])
            elif self._idle:
                _end(self._idle.pop())

    def _done(self) -> list[Any]:
        """The calls that have ended, once any has."""
        calls = [*self._busy, *self._starting]
        if self._busy:
            return ray.wait(calls)[0]
        with progress.task("wait for a worker of the Ray cluster"):
            return ray.wait(calls)[0]

    def _met(self, reference: Any) -> None:
        """Takes a worker on that has answered."""
        hand = self._starting.pop(reference)
        try:
            node, problem = ray.get(reference)
        except RayError as error:
            _end(hand)
            self._stillborn += 1
            if self._stillborn == STILLBORN:
                raise HardnegError(
                    f"{STILLBORN} workers in a row did not start on the Ray cluster ({_reason(error)}); install "
                    "hardneg with the same Python and packages on all machines, or name them in `engine.runtime_env`"
                ) from error
            return
        if problem is not None:
            raise JobError(problem)
        self._stillborn = 0
        self._idle.append(_Hand(hand.actor, node))

    def end(self) -> None:
        """Ends all workers. A shard is written whole or not at all, so there is nothing to wait for."""
        for hand in [*self._starting.values(), *self._idle, *(hand for hand, _ in self._busy.values())]:
            _end(hand)
        self._starting.clear()
        self._idle.clear()
        self._busy.clear()


def _end(hand: _Hand) -> None:
    ray.kill(hand.actor)


def _own(error: RayTaskError) -> BaseException:
    """What the work raised in the worker."""
    cause: BaseException | None = error.cause
    if cause is None or isinstance(cause, (ImportError, RaySystemError)):
        return HardnegError(
            f"a worker of the Ray cluster cannot do its work ({_reason(cause or error)}); install on all machines what "
            "this one has, plug-ins included, or name it in `engine.runtime_env`"
        )
    return cause


def _reason(error: BaseException) -> str:
    """The last line of an error that says something, without colours."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
