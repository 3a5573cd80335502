"""Models in memory: a few at most, and of each the weights that it has now."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Loaded(Generic[T]):
    """What was loaded last, at most ``most`` of it, by key.

    A key has one state. Where its weights have changed since, the earlier ones are let go before the others are loaded,
    so the memory never holds both.

    >>> models = Loaded[str](most=2)
    >>> models.get("model", "weights 1", lambda: "loaded"), models.get("model", "weights 1", lambda: "again")
    ('loaded', 'loaded')
    >>> models.get("model", "weights 2", lambda: "retrained"), len(models)
    ('retrained', 1)
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[Hashable, tuple[str, T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Hashable, weights: str, load: Callable[[], T]) -> T:
        """What is loaded for ``key``, by ``load`` unless it is there with these ``weights``."""
        known = self._known.pop(key, None)
        if known is None or known[0] != weights:
            known = None
            while len(self._known) >= self._most:
                self._known.popitem(last=False)
            known = weights, load()
        self._known[key] = known
        return known[1]

    def clear(self) -> None:
        """Lets everything go."""
        self._known.clear()
