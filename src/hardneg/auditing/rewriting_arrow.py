"""Tables in Parquet, or saved by `datasets`, once more: the same schema, and the same values in rows left alone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

Change = Callable[[int, dict[str, Any] | None, str], dict[str, Any] | None]
ROWS = 1_000


def parquet(path: Path, out: Path, touched: Collection[int], change: Change) -> None:
    """Rows are numbered from 1. Row groups have at most 65,536 rows; compression is that of the first column."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        groups = file.metadata.num_row_groups
        codec = file.metadata.row_group(0).column(0).compression if groups else "SNAPPY"
        number = 1
        with pq.ParquetWriter(out, file.schema_arrow, compression="NONE" if codec == "UNCOMPRESSED" else codec) as sink:
            for batch in file.iter_batches():
                sink.write_table(changed(pa.Table.from_batches([batch]), number, touched, change))
                number += batch.num_rows


def folder(path: Path, out: Path, touched: Collection[int], change: Change) -> None:
    """A data set saved by `datasets`, into the empty folder ``out``."""
    import datasets

    loaded: Any = datasets.load_from_disk(str(path))
    schema = loaded.features.arrow_schema
    with tempfile.TemporaryDirectory(prefix=".hardneg-", dir=out.parent) as place, _quiet():
        rows = Path(place) / "rows.arrow"
        number = 1
        with pa.OSFile(str(rows), "wb") as stream, pa.ipc.new_stream(stream, schema) as sink:
            for table in loaded.with_format("arrow").iter(batch_size=ROWS):
                new = changed(table, number, touched, change)
                sink.write_table(new.replace_schema_metadata(schema.metadata))
                number += table.num_rows
        made: Any = datasets.Dataset.from_file(str(rows), split=loaded.split)
        made.save_to_disk(str(out))


def changed(table: pa.Table, first: int, touched: Collection[int], change: Change) -> pa.Table:
    """The rows of a table, whose first has the number ``first``, each in ``touched`` as ``change`` says."""
    keep = np.ones(table.num_rows, dtype=bool)
    edits: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
    for row in range(table.num_rows):
        if first + row in touched:
            [record] = table.slice(row, 1).to_pylist()
            new = change(first + row, record, "")
            if new is None:
                keep[row] = False
            else:
                edits[row] = record, new
    for place, name in enumerate(table.column_names):
        own = {row: new[name] for row, (old, new) in edits.items() if new[name] is not old[name]}
        if own:
            field = table.schema.field(place)
            column = pa.chunked_array([*table[place].chunks, pa.array(list(own.values()), field.type)])
            where = np.arange(table.num_rows)
            where[list(own)] = table.num_rows + np.arange(len(own))
            table = table.set_column(place, field, column.take(pa.array(where)))
    return table if keep.all() else table.filter(pa.array(keep))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars of `datasets`."""
    import datasets

    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
