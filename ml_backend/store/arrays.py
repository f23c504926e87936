"""Columns on disk: Parquet files on any fsspec path, written whole and then moved into place."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Sequence
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from plugins.contract import IntArray

Arrays = dict[str, NDArray[Any]]


class ArrayStore:
    """Named bundles of arrays under `root`, a folder or an fsspec URL (s3://bucket/prefix)."""

    def __init__(self, root: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(root)

    def _path(self, key: str) -> str:
        return f"{self._root.rstrip('/')}/{key}.parquet"

    def write(self, key: str, arrays: Arrays) -> None:
        """Keeps arrays of any shapes under a key; a reader sees the old bundle or the new one, never half of one."""
        columns, shapes = {}, {}
        for name, array in arrays.items():
            shapes[name] = [array.dtype.str, list(array.shape)]
            columns[name] = pa.array([array.tobytes()], type=pa.large_binary())
        table = pa.table(columns).replace_schema_metadata({"shapes": json.dumps(shapes)})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd", use_dictionary=False)
        path = self._path(key)
        self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        staged = f"{path}.{uuid.uuid4().hex}.part"
        self._fs.pipe_file(staged, buffer.getvalue())
        self._fs.mv(staged, path)

    def read(self, key: str, names: Sequence[str] | None = None) -> Arrays | None:
        """The arrays of a bundle (all, or `names`), or None if there is no such bundle."""
        try:
            with self._fs.open(self._path(key), "rb") as file:
                table = pq.read_table(file, columns=list(names) if names is not None else None)
        except FileNotFoundError:
            return None
        shapes = json.loads((table.schema.metadata or {})[b"shapes"])
        return {name: _restore(table[name][0].as_buffer(), *shapes[name]) for name in table.column_names}

    def exists(self, key: str) -> bool:
        return bool(self._fs.exists(self._path(key)))

    def size(self, key: str) -> int | None:
        """Bytes of a bundle in the store, None if there is no such bundle."""
        try:
            return int(self._fs.size(self._path(key)))
        except FileNotFoundError:
            return None

    def keys(self, prefix: str) -> list[str]:
        """Keys below a prefix, sorted."""
        found = self._fs.glob(f"{self._root.rstrip('/')}/{prefix}/*.parquet")
        return sorted(path[len(self._root.rstrip("/")) + 1 : -len(".parquet")] for path in found)

    def delete(self, key: str) -> None:
        if self.exists(key):
            self._fs.rm_file(self._path(key))


def _restore(buffer: pa.Buffer, dtype: str, shape: list[int]) -> NDArray[Any]:
    return np.frombuffer(buffer, dtype=np.dtype(dtype)).reshape(shape)


class DiskFeatures:
    """Embeddings by feature id and image content, in shards that workers write side by side."""

    def __init__(self, arrays: ArrayStore) -> None:
        self._arrays = arrays
        self._loaded: dict[str, tuple[set[str], dict[str, int], list[NDArray[np.float32]]]] = {}

    def _load(self, feature_id: str) -> tuple[dict[str, int], list[NDArray[np.float32]]]:
        seen, rows, blocks = self._loaded.setdefault(feature_id, (set(), {}, []))
        for key in self._arrays.keys(f"features/{feature_id}"):
            if key in seen:
                continue
            shard = self._arrays.read(key) or {}
            start = sum(len(block) for block in blocks)
            blocks.append(shard["vectors"])
            rows.update((content.hex(), start + i) for i, content in enumerate(map(bytes, shard["contents"])))
            seen.add(key)
        if len(blocks) > 1:
            blocks[:] = [np.concatenate(blocks)]
        return rows, blocks

    def lookup(self, feature_id: str, contents: Sequence[str]) -> tuple[NDArray[np.float32] | None, IntArray]:
        """See learners.contract.FeatureStore."""
        rows, blocks = self._load(feature_id)
        where = np.array([rows.get(content, -1) for content in contents], dtype=np.int64)
        missing = np.flatnonzero(where < 0)
        if not blocks:
            return None, missing
        return blocks[0][np.maximum(where, 0)], missing

    def add(self, feature_id: str, contents: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """See learners.contract.FeatureStore."""
        packed = np.frombuffer(bytes.fromhex("".join(contents)), dtype=np.uint8).reshape(len(contents), 32)
        shard: Arrays = {"contents": packed, "vectors": np.asarray(vectors, dtype=np.float32)}
        self._arrays.write(f"features/{feature_id}/{uuid.uuid4().hex}", shard)

    def load_state(self, name: str) -> Arrays | None:
        """See learners.contract.FeatureStore."""
        return self._arrays.read(f"states/{name}")

    def save_state(self, name: str, arrays: Arrays) -> None:
        """See learners.contract.FeatureStore."""
        self._arrays.write(f"states/{name}", arrays)
