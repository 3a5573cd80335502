"""Generated texts that are no passages: empty, far too short or long, assistant talk, another language, boilerplate."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.data.candidates import Verdicts
from hardneg.data.passage_style import PassageStyle, count_words, language, passage_style
from hardneg.data.records import Reason, normalise
from hardneg.kinds import part

TALK = re.compile(
    r"""^\W*(?:
        (?:sure|okay)\s?[!,.:;] | (?:certainly|of\ course|absolutely)\s?!
      | (?:here|below|following)\ (?:is|are|'s)\ (?:a|an|the|one|some|your|my|two|three|\d)\b
      | here'?s\ (?:a|an|the|one|some|your|my)\b
      | (?:i\ am|i'm)\ (?:sorry|unable|not\ able|an\ ai|afraid)\b
      | (?:sorry|apologies)\W
      | (?:i|we)\ (?:can\ ?not|can't|won't|will\ not|could\ not)\ (?:help|assist|provide|write|generate|answer|fulfil)
      | as\ an\ (?:ai|artificial|assistant|large|language)
      | (?:negative|passage|document|candidate)s?\ ?(?:\#?\d+)?\s*:
      | (?:this|the)\ (?:passage|text|document|paragraph)\ (?:does\ not|doesn't|is\ not|isn't|avoids|lacks|fails)
    )""",
    re.IGNORECASE | re.VERBOSE,
)
INSIDE = re.compile(
    r"""as\ an\ ai\ (?:language\ )?model | as\ a\ language\ model
      | (?:hard|false)\ negatives?\b.{0,40}\bpassage
      | (?:not|n't)\ answer\ the\ (?:original\ )?(?:query|question) | what\ makes\ such\ a\ passage\ good
      | \b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{16}\b  # the prompt's marks
      | </?(?:query|positive|candidate|refused|context)\b[^>]*>
      | \[(?:insert|your)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
LETTER = re.compile(r"[^\W\d_]")
FACTOR = 2.0
SURE = 0.99
OPENING = 5
"""Words by which boilerplate is told."""
RUN = 3
"""Words in a row whose repeating is counted."""


@part
class TextQuality:
    """Drops generated texts that are no passages. What the corpus holds is never touched.

    ``empty``: no letters. ``short``, ``long``: below half the words of the corpus's shortest passages (1st percentile),
    above twice those of its longest (99th). ``talk``: a refusal, or an assistant's words about the text.
    ``repetition``: more than this share of its runs of three words occurred in it before (of 12,649 passages of three
    collections the highest share is 0.26). ``language``: for certain
    another than that of most passages. ``boilerplate``: begins with the same five words as texts for this many other
    examples; their list, ``openings``, is learnt from the job. Null and false switch a rule off.
    """

    length: bool = True
    talk: bool = True
    repetition: Annotated[float, Field(gt=0, lt=1)] | None = 0.3
    language: bool = True
    boilerplate: Count | None = 3
    openings: tuple[str, ...] | None = None

    @property
    def learns(self) -> bool:
        """Whether the openings are still to be found."""
        return self.boilerplate is not None and self.openings is None

    def learn(self, batches: Iterable[Batch]) -> dict[str, Any]:
        """The openings that texts for too many examples share."""
        examples: Counter[str] = Counter()
        for batch in batches:
            pairs = {(owner, opening(text)) for owner, text in _generated(batch)}  # each example counts once
            examples.update(begin for _, begin in pairs)
        most = self.boilerplate or 0
        return {"openings": tuple(sorted(begin for begin, count in examples.items() if begin and count > most))}

    def judge(self, batch: Batch) -> Verdicts:
        """The value and the limit are those of the rule: words, a share, a count; 1 against 0 for talk and language."""
        reasons: list[Reason | None] = [None] * len(batch.rows)
        how = passage_style(batch.corpus)
        begins = frozenset(self.openings or ())
        for j in np.flatnonzero(batch.rows < 0).tolist():
            text = batch.texts[j] if batch.texts is not None else None
            reasons[j] = self._reason(text or "", how, begins)
        return Verdicts.from_reasons(reasons)

    def _reason(self, text: str, how: PassageStyle, begins: frozenset[str]) -> Reason | None:
        """The first rule that a text breaks."""
        return next(filter(None, self._reasons(text, how, begins)), None)

    def _reasons(self, text: str, how: PassageStyle, begins: frozenset[str]) -> Iterator[Reason | None]:
        count, shortest, longest = count_words(text), how.shortest / FACTOR, how.longest * FACTOR
        yield None if LETTER.search(text) else Reason("empty", 0, 1)
        if self.length:
            yield Reason("short", count, shortest) if count < shortest else None
            yield Reason("long", count, longest) if count > longest else None
        if self.talk and (found := TALK.search(text) or INSIDE.search(text)):
            yield Reason("talk", 1, 0, found[0].strip()[:40])
        if self.repetition is not None and (share := repeated(text)) > self.repetition:
            yield Reason("repetition", share, self.repetition)
        if self.language and how.language and (spoken := language(text, SURE)) not in (None, how.language):
            yield Reason("language", 1, 0, f"{spoken}, the corpus is {how.language}")
        if (begin := opening(text)) in begins:
            yield Reason("boilerplate", 1, 0, begin)


def _generated(batch: Batch) -> list[tuple[int, str]]:
    """Example and text of what is not in the corpus."""
    new = np.flatnonzero(batch.rows < 0).tolist()
    owners = batch.owners
    return [(int(owners[j]), batch.texts[j] or "") for j in new] if batch.texts is not None else []


def opening(text: str) -> str:
    """The first words of a text, normalised; empty for a shorter one."""
    words = normalise(text).split()
    return " ".join(words[:OPENING]) if len(words) > OPENING else ""


def repeated(text: str) -> float:
    """The share of a text's runs of three words that occurred in it before.

    >>> repeated("one two three four"), repeated("no no no no no no")
    (0.0, 0.75)
    """
    words = normalise(text).split()
    runs = [tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0
