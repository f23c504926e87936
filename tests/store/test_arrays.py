"""Bundles of arrays: any shape and type comes back as it was, and a reader never sees half of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from ml_backend.store.arrays import ArrayStore, DiskFeatures


@pytest.fixture
def arrays(tmp_path: Path) -> ArrayStore:
    return ArrayStore(str(tmp_path))


@given(
    array=hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.int64, np.uint8, np.bool_]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read(arrays: ArrayStore, array: NDArray[Any]) -> None:
    arrays.write("a/b", {"x": array})
    found = (arrays.read("a/b") or {})["x"]
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


def test_some_columns_can_be_read_alone_and_a_missing_bundle_is_none(arrays: ArrayStore) -> None:
    arrays.write("k/1", {"x": np.arange(3), "y": np.eye(2)})
    assert set(arrays.read("k/1", ["y"]) or {}) == {"y"}
    assert arrays.read("k/2") is None
    assert arrays.keys("k") == ["k/1"]
    arrays.delete("k/1")
    arrays.delete("k/1")
    assert not arrays.exists("k/1")


def test_a_write_that_dies_leaves_the_old_bundle(arrays: ArrayStore, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays.write("k", {"x": np.array([1])})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(arrays._fs), "mv", killed)
    with pytest.raises(KeyboardInterrupt):
        arrays.write("k", {"x": np.array([2])})
    assert (arrays.read("k") or {})["x"].tolist() == [1]


def test_any_fsspec_path_will_do() -> None:
    store = ArrayStore("memory://bucket/prefix")
    store.write("k/1", {"x": np.arange(4)})
    assert (store.read("k/1") or {})["x"].tolist() == [0, 1, 2, 3]
    assert store.keys("k") == ["k/1"]


def test_features_are_found_by_content_across_shards_and_processes(arrays: ArrayStore) -> None:
    names = [f"{i:02x}" * 32 for i in range(5)]
    vectors = np.arange(10, dtype=np.float32).reshape(5, 2)
    here, there = DiskFeatures(arrays), DiskFeatures(arrays)
    assert here.lookup("f", names)[0] is None
    here.add("f", names[:2], vectors[:2])
    there.add("f", names[2:4], vectors[2:4])
    for features in (here, there):
        found, missing = features.lookup("f", [names[3], names[4], names[0]])
        assert found is not None
        assert missing.tolist() == [1]
        np.testing.assert_array_equal(found[[0, 2]], vectors[[3, 0]])
    here.add("f", names[4:], vectors[4:])
    assert there.lookup("f", names)[1].size == 0
