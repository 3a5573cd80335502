"""The files of MS MARCO passage ranking: collection, queries and qrels as TSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path

from hardneg.data.corpus import Corpus
from hardneg.data.records import BELOW, NO_QUERY, NO_TEXT, TWICE, Example, Passage, Read, unusable, unused
from hardneg.errors import DataError
from hardneg.files.bad_lines import BadLines, Rule
from hardneg.files.spilled import Spilled
from hardneg.files.text_lines import USUAL, Limits, existing, lines
from hardneg.kinds import NEUTRAL, part


@part
class MSMARCO:
    """``collection``: id, text (or id, url, title, text) by tabs; ``queries``: id, text; ``qrels``: query id, 0,
    passage id, grade, by white space. Each may end in ``.gz`` or ``.zst``. What is left out, put aside, or an error is
    as in the reader ``beir``.
    """

    collection: Path = field(metadata=NEUTRAL)
    queries: Path = field(metadata=NEUTRAL)
    qrels: Path = field(metadata=NEUTRAL)
    min_grade: int = 1
    limits: Limits = USUAL
    bad_lines: Rule = "error"

    def files(self) -> list[Path]:
        """Collection, queries and judgments."""
        return [existing(self.collection), existing(self.queries), existing(self.qrels)]

    def passages(self) -> Iterator[Read[Passage]]:
        """The collection, in the order of the file."""
        file, bad = self.files()[0], BadLines(self.bad_lines)
        for number, text in lines(file, self.limits, bad):
            with bad:
                columns = text.split("\t")
                if len(columns) not in (2, 4):
                    raise DataError.at(file, number, f"expected 2 or 4 columns by tabs, found {len(columns)}")
                title = columns[2] if len(columns) == 4 else ""
                yield Read(Passage(columns[0], columns[-1], title), str(file), number)
        yield from unusable(bad)

    def examples(self, corpus: Corpus, empty: frozenset[str]) -> Iterator[Read[Example]]:
        """The judged queries, in the order of the queries' file."""
        _, queries_file, qrels_file = self.files()
        bad = BadLines(self.bad_lines)
        judged, positives, seen = Spilled("reason"), Spilled(), Spilled("line")
        left: Counter[str] = Counter()
        for number, text in lines(qrels_file, self.limits, bad):
            with bad:
                columns = text.split()
                try:
                    _, _, _, grade = columns
                    relevant = int(grade) >= self.min_grade
                except ValueError as error:
                    raise DataError.at(
                        qrels_file, number, f"expected query id, 0, passage id and grade, found {text!r:.80}"
                    ) from error
                query, passage = columns[0], columns[2]
                if passage not in empty and passage not in corpus:
                    raise DataError.at(qrels_file, number, f"passage id `{passage}` is not in the collection")
                known = relevant and positives.put(query, passage) is not None
                judged.put(query, str(number), TWICE if known else None if relevant else BELOW)
        for number, text in lines(queries_file, self.limits, bad):
            identifier, _, query = text.partition("\t")
            found = [passage for (passage,) in positives.of(identifier)]
            first = seen.put(identifier, "", number)
            with bad:
                if first is not None:
                    raise DataError.at(
                        queries_file, number, f"query id `{identifier}` already appears on line {first[0]}"
                    )
                if not query.strip():
                    left[NO_QUERY] += len(found)
                    raise DataError.at(queries_file, number, f"the text of query `{identifier}` is empty")
            if first is not None or not query.strip():
                continue
            with_text = tuple(passage for passage in found if passage not in empty)
            left[NO_TEXT] += len(found) - len(with_text)
            if with_text:
                yield Read(Example(identifier, query, with_text), str(queries_file), number)
            else:
                known = next(judged.of(identifier), None) is not None
                reason = "query without a positive" if known else "query without a judgment in this split"
                yield Read(None, str(queries_file), number, reason)
        for query, line, reason in judged:
            if seen.get(query) is None:
                with bad:
                    raise DataError.at(qrels_file, int(line), f"query id `{query}` is not in {queries_file.name}")
            elif reason:
                left[reason] += 1
        yield from unused(left, qrels_file)
        yield from unusable(bad)
