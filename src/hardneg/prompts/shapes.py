"""The forms that answers have: what a prompt's ``output`` names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field


class Draft(NamedTuple):
    """A negative as written, with what the model says of it."""

    text: str
    note: str | None = None


class Shape(BaseModel):
    """An answer whose list ``listed`` has so many entries as were asked for; fewer are accepted."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    listed: ClassVar[str] = "negatives"

    @classmethod
    @cache  # making one takes half a millisecond, and every question wants it
    def schema_for(cls, count: int) -> Mapping[str, Any]:
        """The JSON schema for servers that hold a model to it: exactly ``count`` entries."""
        schema = cls.model_json_schema()
        schema["properties"][cls.listed] |= {"minItems": count, "maxItems": count}
        return schema


class Passages(Shape):
    """Passages and nothing else."""

    negatives: list[str] = Field(min_length=1)

    def drafts(self) -> list[Draft]:
        """The negatives."""
        return [Draft(text) for text in self.negatives]


class Breach(Shape):
    """A passage that breaks one requirement, by its number from 1."""

    broken: int = Field(ge=1)
    passage: str


class Requirements(Shape):
    """What the query requires, and passages that each break one of them."""

    requirements: list[str] = Field(min_length=1)
    negatives: list[Breach] = Field(min_length=1)

    def drafts(self) -> list[Draft]:
        """The negatives, each with the requirement that it breaks."""
        known = dict(enumerate(self.requirements, 1))
        return [Draft(n.passage, f"breaks: {known.get(n.broken, f'requirement {n.broken}')}") for n in self.negatives]


class Variant(Shape):
    """A passage with its attributes, and whether it answers the query after all."""

    domain: str
    difficulty: Literal["easy", "medium", "hard"]
    passage: str
    answers: bool


class Varied(Shape):
    """Passages of different kinds."""

    negatives: list[Variant] = Field(min_length=1)

    def drafts(self) -> list[Draft]:
        """The negatives that passed their own check."""
        return [Draft(n.passage, f"{n.difficulty}, {n.domain}") for n in self.negatives if not n.answers]


class Grade(Shape):
    """A candidate's number, from 1, and its grade."""

    candidate: int = Field(ge=1)
    grade: int = Field(ge=0, le=3)


class Grades(Shape):
    """A grade a candidate."""

    listed: ClassVar[str] = "grades"
    grades: list[Grade]


WRITTEN: Mapping[str, type[Passages | Requirements | Varied]] = {
    "passages": Passages,
    "requirements": Requirements,
    "varied": Varied,
}
SHAPES: Mapping[str, type[Shape]] = {**WRITTEN, "grades": Grades}
