"""How the parts of a batch are laid out in Parquet: one row an example, lists aligned with its candidates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hardneg.arrays import offsets_of, owners_of
from hardneg.data.batch import Batch
from hardneg.data.candidates import UNJUDGED, Candidates, Scores, Selection, Source, Verdicts, Writing
from hardneg.data.chat import Usage
from hardneg.data.corpus import Corpus

Array = NDArray[Any]


def _list(offsets: Array, values: Any, kind: pa.DataType | None = None) -> pa.LargeListArray:
    flat = values if isinstance(values, pa.Array) else pa.array(values, kind)
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), flat)


def _column(table: pa.Table, name: str) -> tuple[Array, pa.Array]:
    """Offsets and flat values of a list column."""
    column = table[name].combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # a table of no rows has no chunk
        column = pa.array([], table[name].type)
    offsets = column.offsets.to_numpy()
    return (offsets - offsets[0]).astype(np.int64), column.flatten()


def _numbers(table: pa.Table, name: str) -> Array:
    values: Array = _column(table, name)[1].to_numpy(zero_copy_only=False)
    return values


def _with_note(table: pa.Table, note: Mapping[str, str | None]) -> pa.Table:
    """The table with some words beside its columns, in the schema's metadata."""
    return table.replace_schema_metadata({key: value for key, value in note.items() if value is not None})


def _note(table: pa.Table, key: str) -> str | None:
    value = (table.schema.metadata or {}).get(key.encode())
    return value.decode() if value is not None else None


def examples_table(batch: Batch) -> pa.Table:
    """Columns ``id``, ``query``, ``query_hash``, ``positives`` and, where there are any, ``shared`` (rows of the
    corpus).
    """
    columns = {
        "id": pa.array(batch.ids, pa.string()),
        "query": pa.array(batch.queries, pa.string()),
        "query_hash": pa.array(batch.query_hashes),
        "positives": _list(batch.positive_offsets, batch.positive_rows, pa.int64()),
    }
    if batch.shared is not None:
        owners, rows = batch.shared
        columns["shared"] = _list(offsets_of(np.bincount(owners, minlength=len(batch))), rows, pa.int64())
    return pa.table(columns)


def examples_batch(table: pa.Table, corpus: Corpus, controls: frozenset[str]) -> Batch:
    """The batch of an examples table, without candidates."""
    offsets, rows = _column(table, "positives")
    ids, queries, hashes = table["id"].to_pylist(), table["query"].to_pylist(), table["query_hash"].to_numpy()
    shared = None
    if "shared" in table.column_names:
        shared_offsets, shared_rows = _column(table, "shared")
        shared = owners_of(shared_offsets), shared_rows.to_numpy()
    return Batch.of(
        corpus, ids, queries, offsets, rows.to_numpy(), query_hashes=hashes, controls=controls, shared=shared
    )


def candidates_table(found: Candidates) -> pa.Table:
    """Columns ``rows``, ``scores`` and, where a candidate is a new text, ``texts``."""
    columns = {
        "rows": _list(found.offsets, found.rows, pa.int64()),
        "scores": _list(found.offsets, found.scores, pa.float32()),
    }
    if found.texts is not None and any(text is not None for text in found.texts):
        columns["texts"] = _list(found.offsets, found.texts, pa.string())
    columns |= _writing_columns(found.offsets, found.writing, "")
    return _with_note(pa.table(columns), {"model": found.model, "prompt": found.prompt, "usage": _packed(found.usage)})


def candidates(table: pa.Table) -> Candidates:
    """The candidates of such a table."""
    offsets, rows = _column(table, "rows")
    texts = _column(table, "texts")[1].to_pylist() if "texts" in table.column_names else None
    return Candidates(
        offsets,
        rows.to_numpy(),
        _numbers(table, "scores"),
        texts,
        _note(table, "model"),
        _note(table, "prompt"),
        _writing(table, ""),
        usage(table),
    )


def _writing_columns(offsets: Array, writing: Writing | None, name: str) -> dict[str, pa.Array]:
    if writing is None:
        return {}
    return {
        f"round{name}": _list(offsets, writing.rounds, pa.int8()),
        f"tokens{name}": _list(offsets, writing.tokens, pa.float32()),
        f"note{name}": _list(offsets, writing.notes, pa.string()),
    }


def _writing(table: pa.Table, name: str) -> Writing | None:
    if f"round{name}" not in table.column_names:
        return None
    notes = _column(table, f"note{name}")[1].to_pylist()
    return Writing(_numbers(table, f"round{name}"), _numbers(table, f"tokens{name}"), notes)


def _packed(spent: Usage | None) -> str | None:
    return None if spent is None else json.dumps(asdict(spent))


def usage(table: pa.Table) -> Usage | None:
    """What the language model's answers in a table of candidates or scores cost."""
    packed = _note(table, "usage")
    return None if packed is None else Usage.of(json.loads(packed))


def merged_table(batch: Batch) -> pa.Table:
    """Columns ``rows``, ``texts`` and, for each generator, ``rank.NAME`` and ``score.NAME``."""
    columns = {"rows": _list(batch.offsets, batch.rows, pa.int64())}
    note: dict[str, str | None] = {}
    if batch.texts is not None:
        columns["texts"] = _list(batch.offsets, batch.texts, pa.string())
    for name, source in batch.sources.items():
        columns[f"rank.{name}"] = _list(batch.offsets, source.rank, pa.int32())
        columns[f"score.{name}"] = _list(batch.offsets, source.score, pa.float32())
        columns |= _writing_columns(batch.offsets, source.writing, f".{name}")
        note |= {f"model.{name}": source.model, f"prompt.{name}": source.prompt}
    return _with_note(pa.table(columns), note)


def merged(batch: Batch, table: pa.Table) -> Batch:
    """The batch with the candidates of such a table."""
    offsets, rows = _column(table, "rows")
    names = [name[len("rank.") :] for name in table.column_names if name.startswith("rank.")]
    return replace(
        batch,
        offsets=offsets,
        rows=rows.to_numpy(),
        texts=_column(table, "texts")[1].to_pylist() if "texts" in table.column_names else None,
        sources={
            name: Source(
                _numbers(table, f"rank.{name}"),
                _numbers(table, f"score.{name}"),
                _note(table, f"model.{name}"),
                _note(table, f"prompt.{name}"),
                _writing(table, f".{name}"),
            )
            for name in names
        },
    )


def scores_table(batch: Batch, scores: Scores) -> pa.Table:
    """Columns ``negatives`` and ``positives``."""
    columns = {
        "negatives": _list(batch.offsets, scores.negatives, pa.float32()),
        "positives": _list(batch.positive_offsets, scores.positives, pa.float32()),
    }
    return _with_note(pa.table(columns), {"usage": _packed(scores.usage)})


def scores(table: pa.Table) -> Scores:
    """The scores of such a table."""
    return Scores(_numbers(table, "negatives"), _numbers(table, "positives"), usage(table))


def verdicts_table(batch: Batch, verdicts: Verdicts) -> pa.Table:
    """Columns ``rule`` (null: kept), ``value``, ``limit`` and, where there are any, ``detail`` and ``unjudged``."""
    codes = pa.array(verdicts.broken, mask=verdicts.broken < 0)
    rule = pa.DictionaryArray.from_arrays(codes, pa.array(verdicts.rules or ("",), pa.string()))
    columns = {
        "rule": _list(batch.offsets, rule),
        "value": _list(batch.offsets, verdicts.value, pa.float32()),
        "limit": _list(batch.offsets, verdicts.limit, pa.float32()),
    }
    if verdicts.detail is not None:
        columns["detail"] = _list(batch.offsets, verdicts.detail, pa.string())
    if verdicts.unjudged.any():
        columns["unjudged"] = _list(batch.offsets, verdicts.unjudged, pa.bool_())
    return pa.table(columns)


def verdicts(table: pa.Table) -> Verdicts:
    """The verdicts of such a table."""
    rule = _column(table, "rule")[1].dictionary_encode()
    codes = rule.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int8)
    if "unjudged" in table.column_names:
        codes = np.where(_numbers(table, "unjudged"), np.int8(UNJUDGED), codes)
    detail = _column(table, "detail")[1].to_pylist() if "detail" in table.column_names else None
    names = tuple(rule.dictionary.to_pylist())
    return Verdicts(names, codes, _numbers(table, "value"), _numbers(table, "limit"), detail)


def selection_table(selection: Selection) -> pa.Table:
    """Column ``chosen``: numbers of candidates, in the order of choice."""
    return pa.table({"chosen": _list(selection.offsets, selection.chosen, pa.int64())})


def selection(table: pa.Table) -> Selection:
    """The selection of such a table."""
    offsets, chosen = _column(table, "chosen")
    return Selection(offsets, chosen.to_numpy())
