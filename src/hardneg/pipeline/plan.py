"""What a job does, as parts, and in which order the parts depend on each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from hardneg.errors import PartError
from hardneg.protocols import (
    CosineScorer,
    Encoder,
    Estimator,
    Export,
    Filter,
    Generator,
    Lazy,
    Reader,
    Scorer,
    Selector,
)

Group = Literal["generators", "scorers", "filters"]
REFERENCES: Mapping[str, Group] = {
    "context": "generators",
    "scorer": "scorers",
    "scorers": "scorers",
    "agree": "scorers",
    "cascade": "filters",
}
"""Fields of parts that name other members of the job, and the group that the member belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The parts of a job by name. Generators, scorers and filters keep the order of the job."""

    reader: Reader
    generators: Mapping[str, Generator]
    scorers: Mapping[str, Scorer]
    filters: Mapping[str, Filter]
    selector: Selector
    target: str
    """The scorer whose scores ECI is computed from."""
    at: tuple[int, ...] = ()
    """Numbers of negatives at which sources are compared at equal size. Empty: the selector's ``per_query``."""
    controls: tuple[str, ...] = ()
    """Generators that are scored and reported and never trained on."""
    sem: bool = True
    """Whether eci_sem is computed too, where the target scorer has an encoder."""
    deepen: int = 0
    """How many waves of greater depth follow for examples with too few negatives left."""
    probe: bool = False
    """Whether the probe ranks the sets, where the target scorer has an encoder."""
    loss: Literal["shared", "own"] = "shared"
    """Whether the loss of the training to come shows a query the negatives of its whole batch, or its own alone."""
    exports: Mapping[str, Export] = field(default_factory=dict)

    @property
    def trained(self) -> list[str]:
        """The names of the generators whose candidates may be trained on."""
        return [name for name in self.generators if name not in self.controls]

    @property
    def target_encoder(self) -> Encoder | None:
        """The encoder whose cosine similarities the target scorer gives. None where its scores are something else."""
        scorer = self.scorers[self.target]
        return scorer.cosine if isinstance(scorer, CosineScorer) else None

    @property
    def estimator(self) -> str | None:
        """The scorer whose probabilities tell how many negatives are false: one that a filter uses, else the first."""
        known = [name for name, scorer in self.scorers.items() if isinstance(scorer, Estimator)]
        used = [name for part in self.filters.values() for name in self.named(part, "scorers") if name in known]
        return next(iter([*used, *known]), None)

    @property
    def lazy(self) -> str | None:
        """The scorer that is asked only about candidates that selection comes to. None: each is asked about all."""
        return next((name for name, part in self.scorers.items() if isinstance(part, Lazy) and part.lazy), None)

    def awaiting(self, scorer: str) -> list[str]:
        """The filters that look at the scores of a scorer."""
        return [name for name, part in self.filters.items() if scorer in self.named(part, "scorers")]

    def before_lazy(self) -> list[tuple[Group, str]]:
        """The members that decide which candidates the lazy scorer is asked about."""
        if self.lazy is None:
            return []
        later = self.awaiting(self.lazy)
        filters: list[tuple[Group, str]] = [("filters", name) for name in self.filters if name not in later]
        order = [name for name in self.named(self.selector, "scorers") if name != self.lazy]
        return [*(("scorers", name) for name in order), *filters]

    def members(self, group: Group) -> Mapping[str, object]:
        """The generators, scorers or filters by name."""
        found: Mapping[str, object] = getattr(self, group)
        return found

    def references(self, part: object) -> Iterator[tuple[str, Group, str]]:
        """The field, group and name of every member of the job that ``part`` mentions."""
        for key, group in REFERENCES.items():
            names = getattr(part, key, None)
            for name in [names] if isinstance(names, str) else names or ():
                if isinstance(name, str):
                    yield key, group, name

    def named(self, part: object, group: Group) -> list[str]:
        """The members of one group that ``part`` mentions, in job order."""
        names = {name for _, of, name in self.references(part) if of == group}
        return [name for name in self.members(group) if name in names]

    def order(self, *groups: Group) -> list[tuple[Group, str]]:
        """The members of these groups, each after those that it mentions, else in job order.

        Raises `PartError` where members mention each other in a circle.
        """
        done: list[tuple[Group, str]] = []

        def visit(group: Group, name: str, path: tuple[str, ...]) -> None:
            if name in path:
                raise PartError(f"these parts mention each other in a circle: {' → '.join([*path, name])}")
            if (group, name) in done:
                return
            part = self.members(group)[name]
            for other in groups:
                for mentioned in self.named(part, other):
                    visit(other, mentioned, (*path, name))
            if group == "scorers" and name == self.lazy:
                for other, earlier in self.before_lazy():
                    visit(other, earlier, (*path, name))
            done.append((group, name))

        for group in groups:
            for name in self.members(group):
                visit(group, name, ())
        return done
