"""The table of a slide's objects as a Parquet file, written in pieces."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from overtile.objects.measurements import Objects
from overtile.stores.files import replace_when_done

ROWS = 1 << 17
"""Rows that are made and written at once, a row group of the file."""


def write_table(path: Path, objects: Objects, slide: str = "") -> None:
    """Write a row per object, in the order of ids.

    Columns: see `Objects.columns`; class is its name, dictionary-encoded, and a column that is not
    known is null throughout. The schema's metadata has the slide's name, its pixel size in
    micrometres (JSON, z y x or null) and the digest of the labels. The same objects give the same
    bytes; without any object the table has the same columns and no row.
    """
    schema = _schema(objects, slide)
    names = pa.array(objects.class_names, pa.string())
    with (
        replace_when_done(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as file,
    ):
        for start in range(0, len(objects), ROWS):
            columns = objects.columns(start, start + ROWS)
            rows = min(ROWS, len(objects) - start)
            arrays = [_array(columns[field.name], field, names, rows) for field in schema]
            file.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=ROWS)


def _schema(objects: Objects, slide: str) -> pa.Schema:
    """Fields from the columns of no rows; None has the type of a length."""
    fields = []
    for name, values in objects.columns(0, 0).items():
        kind = pa.float64() if values is None else pa.from_numpy_dtype(values.dtype)
        if name == "class":
            kind = pa.dictionary(pa.int32(), pa.string())
        fields.append(pa.field(name, kind))
    size = objects.pixel_size_um
    known = {
        "slide": slide,
        "pixel_size_um": json.dumps(size and list(size)),
        "labels_digest": objects.digest,
    }
    return pa.schema(fields, known)


def _array(values: np.ndarray | None, field: pa.Field, names: pa.Array, rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(rows, field.type)
    if field.name == "class":
        return pa.DictionaryArray.from_arrays(pa.array(values, pa.int32()), names)
    return pa.array(values, field.type)
