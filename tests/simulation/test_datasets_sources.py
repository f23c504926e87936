"""Public data sets and folders: small real files in the layouts that people have, read whole or refused by name."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from simulation.datasets import DatasetConfig, DatasetError, load
from simulation.datasets.mnist import FILES
from simulation.datasets.places import data_folder

ROOT = Path(__file__).parents[2]
Pixels = NDArray[np.uint8]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEXTLABEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def config(name: str, **fields: Any) -> DatasetConfig:
    return DatasetConfig.model_validate({"name": name, **fields})


def pixels(n: int, side: int, channels: int = 0, seed: int = 0) -> Pixels:
    shape = (n, side, side, channels) if channels else (n, side, side)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def jpeg(picture: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


# digits


def test_digits_are_scikit_learns() -> None:
    digits = load(config("digits"))
    assert digits.labels.tolist() == load_digits().target.tolist()
    assert digits.images.pixels is not None
    assert digits.images.pixels[0, 0, 2, 0] == round(5 * 255 / 16)


# MNIST


def idx(values: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def mnist_arrays() -> list[NDArray[np.uint8]]:
    return [pixels(6, 28), np.arange(6, dtype=np.uint8), pixels(3, 28, seed=1), np.array([9, 0, 1], dtype=np.uint8)]


def mnist_folder(root: Path, packed: bool) -> Path:
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, values in zip(FILES, mnist_arrays(), strict=True):
        data = idx(values)
        (folder / f"{name}{'.gz' if packed else ''}").write_bytes(gzip.compress(data) if packed else data)
    return root


def mnist_npz(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    named = dict(zip(("x_train", "y_train", "x_test", "y_test"), mnist_arrays(), strict=True))
    np.savez_compressed(path, **named)  # type: ignore[arg-type]  # numpy's stubs take allow_pickle for a possible key
    return path


def test_mnist_reads_the_same_from_every_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist_npz(tmp_path / "data" / "mnist" / "mnist.npz")
    monkeypatch.setenv("NEXTLABEL_DATA", str(tmp_path / "data"))
    plain, packed = mnist_folder(tmp_path / "plain", False), mnist_folder(tmp_path / "packed", True)
    found = [load(config("mnist"))]
    found += [load(config("mnist", path=path)) for path in (plain, packed, plain / "MNIST" / "raw")]
    found.append(load(config("mnist", path=tmp_path / "data" / "mnist" / "mnist.npz")))
    assert len({each.fingerprint() for each in found}) == 1
    mnist, (train, _, test, _) = found[0], mnist_arrays()
    assert mnist.images.pixels is not None
    assert np.array_equal(mnist.images.pixels[..., 0], np.concatenate([train, test]))
    assert mnist.labels.tolist() == [0, 1, 2, 3, 4, 5, 9, 0, 1]
    assert mnist.test is not None
    assert mnist.test.tolist() == [6, 7, 8]


def _cut(root: Path) -> None:
    path = root / "MNIST" / "raw" / FILES[2]
    path.write_bytes(path.read_bytes()[:-1])


def _not_idx(root: Path) -> None:
    (root / "MNIST" / "raw" / FILES[0]).write_bytes(b"no IDX")


def _lost(root: Path) -> None:
    (root / "MNIST" / "raw" / FILES[1]).unlink()


def _other_labels(root: Path) -> None:
    (root / "MNIST" / "raw" / FILES[3]).write_bytes(idx(np.zeros(2, dtype=np.uint8)))


def _flat(root: Path) -> None:
    (root / "MNIST" / "raw" / FILES[0]).write_bytes(idx(np.zeros(6, dtype=np.uint8)))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_cut, "t10k-images-idx3-ubyte is no whole IDX file"),
        (_not_idx, "train-images-idx3-ubyte is no whole IDX file"),
        (_lost, "train-labels-idx1-ubyte.gz cannot be read"),
        (_other_labels, "one label for each image"),
        (_flat, r"must be \(n, height, width\)"),
    ],
)
def test_a_damaged_mnist_is_named(tmp_path: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(mnist_folder(tmp_path, False))
    with pytest.raises(DatasetError, match=said):
        load(config("mnist", path=tmp_path))


def test_a_damaged_or_incomplete_npz_is_named(tmp_path: Path) -> None:
    path = mnist_npz(tmp_path / "mnist.npz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DatasetError, match="is no readable"):
        load(config("mnist", path=path))
    np.savez(path, x_train=pixels(1, 28))
    with pytest.raises(DatasetError, match="no array 'y_train'"):
        load(config("mnist", path=path))
    np.savez(path, **{key: np.array([{}], dtype=object) for key in ("x_train", "y_train", "x_test", "y_test")})  # type: ignore[arg-type]  # as above
    with pytest.raises(DatasetError, match="is no readable"):  # a pickle could run anything
        load(config("mnist", path=path))


# CIFAR


def cifar_archive(path: Path, extra: dict[str, bytes] | None = None) -> dict[str, bytes]:
    """Packed as the data folder's: the test part first, three classes, two pictures each."""
    files = {
        f"{split}/{kind}/{number:04d}.jpg": jpeg(pixels(1, 32, 3, seed=len(f"{split}{kind}") * 10 + number)[0])
        for split in ("test", "train")
        for kind in ("airplane", "bird", "cat")
        for number in range(2)
    }
    files |= extra or {}
    with tarfile.open(path, "w:xz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return files


def test_the_packed_cifar10_is_decoded_once(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "cifar.tar.xz"
    files = cifar_archive(path)
    with ThreadPoolExecutor(4) as threads:  # several may ask at a time
        first, *others = threads.map(lambda _: load(config("cifar10", path=path)), range(4))
    assert {each.fingerprint() for each in others} == {first.fingerprint()}
    assert first.classes == ("airplane", "bird", "cat")
    assert first.labels.tolist() == [0, 0, 1, 1, 2, 2] * 2
    assert first.test is not None
    assert first.test.tolist() == [6, 7, 8, 9, 10, 11]
    assert "lossy" in first.note
    assert first.images.pixels is not None
    with Image.open(io.BytesIO(files["train/bird/0001.jpg"])) as picture:
        assert np.array_equal(first.images.pixels[3], np.asarray(picture))
    kept = [folder for folder in (cache / "datasets").iterdir() if folder.is_dir()]
    assert len(kept) == 1
    made = kept[0].stat().st_mtime_ns
    assert load(config("cifar10", path=path)).fingerprint() == first.fingerprint()
    assert kept[0].stat().st_mtime_ns == made


def test_a_changed_archive_is_decoded_again_and_a_damaged_copy_is_named(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "cifar.tar.xz"
    cifar_archive(path)
    before = load(config("cifar10", path=path))
    kept = next(folder for folder in (cache / "datasets").iterdir() if folder.is_dir())
    cifar_archive(path, {"train/dog/0000.jpg": jpeg(pixels(1, 32, 3)[0])})
    assert load(config("cifar10", path=path)).fingerprint() != before.fingerprint()
    cifar_archive(path)
    (kept / "pixels.npy").write_bytes(b"")
    with pytest.raises(DatasetError, match="delete it, and it is made again"):
        load(config("cifar10", path=path))


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"train/cat/9999.jpg": b"no picture"}, "train/cat/9999.jpg' cannot be decoded"),
        ({"train/cat/9999.jpg": jpeg(pixels(1, 16, 3)[0])}, "bring all to one size"),
        ({"../cat/9999.jpg": b""}, "repack it"),
        ({"train/9999.jpg": b""}, "repack it"),
        ({"train/cat/9999.jpg": b"0" * (2**20 + 1)}, "repack it"),
    ],
)
def test_an_unsound_archive_leaves_nothing_behind(
    tmp_path: Path, cache: Path, extra: dict[str, bytes], said: str
) -> None:
    cifar_archive(tmp_path / "cifar.tar.xz", extra)
    with pytest.raises(DatasetError, match=said):
        load(config("cifar10", path=tmp_path / "cifar.tar.xz"))
    assert [entry.name for entry in (cache / "datasets").iterdir() if entry.is_dir()] == []
    assert not (tmp_path / "9999.jpg").exists()


def test_a_cut_archive_and_a_cache_that_cannot_be_written_are_named(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "cifar.tar.xz"
    cifar_archive(path)
    cache.write_bytes(b"a file where the folder should be")
    with pytest.raises(DatasetError, match="set NEXTLABEL_CACHE"):
        load(config("cifar10", path=path))
    cache.unlink()
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DatasetError, match="no whole archive"):
        load(config("cifar10", path=path))


def _pickled(path: Path, body: dict[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(body))
    return hashlib.md5(path.read_bytes()).hexdigest()


def cifar100(root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Pixels, Pixels]:
    """The authors' files in small. torchvision unpickles only what has the sums that it knows: it is told ours."""
    from torchvision.datasets import CIFAR100

    train, test = pixels(6, 32, 3), pixels(3, 32, 3, seed=1)

    def rows(pictures: Pixels) -> Pixels:
        return pictures.transpose(0, 3, 1, 2).reshape(len(pictures), -1)

    folder = root / "cifar-100-python"
    sums = {
        "train": _pickled(folder / "train", {"data": rows(train), "fine_labels": [0, 1, 2, 0, 1, 2]}),
        "test": _pickled(folder / "test", {"data": rows(test), "fine_labels": [2, 1, 0]}),
    }
    meta = _pickled(folder / "meta", {"fine_label_names": ["apple", "aquarium_fish", "baby"]})
    monkeypatch.setattr(CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": meta})
    return train, test


def test_cifar100_comes_through_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = cifar100(tmp_path, monkeypatch)
    found = load(config("cifar100", path=tmp_path))
    assert found.images.pixels is not None
    assert np.array_equal(found.images.pixels, np.concatenate([train, test]))
    assert found.labels.tolist() == [0, 1, 2, 0, 1, 2, 2, 1, 0]
    assert found.classes == ("apple", "aquarium_fish", "baby")
    assert found.test is not None
    assert found.test.tolist() == [6, 7, 8]
    assert load(config("cifar100", path=tmp_path / "cifar-100-python")).fingerprint() == found.fingerprint()


def test_files_with_other_sums_are_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar100(tmp_path, monkeypatch)

    class Hostile:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'run'}",)

    _pickled(tmp_path / "cifar-100-python" / "train", {"data": Hostile()})
    with pytest.raises(DatasetError, match="cifar-100-python cannot be read as cifar100"):
        load(config("cifar100", path=tmp_path))
    assert not (tmp_path / "run").exists()


# Tiny ImageNet


def tiny_imagenet(root: Path) -> Path:
    for number, wnid in enumerate(("n02", "n01", "n03")):
        folder = root / "train" / wnid / "images"
        folder.mkdir(parents=True)
        for index in range(2):
            picture = pixels(1, 64, 0 if index else 3, seed=10 * number + index)[0]  # some are grey, as in the original
            (folder / f"{wnid}_{index}.JPEG").write_bytes(jpeg(picture))
    (root / "val" / "images").mkdir(parents=True)
    for index in range(3):
        (root / "val" / "images" / f"val_{index}.JPEG").write_bytes(jpeg(pixels(1, 64, 3, seed=99 + index)[0]))
    lines = ["val_1.JPEG\tn03\t0\t0\t9\t9", "val_0.JPEG\tn01\t0\t0\t9\t9", "val_2.JPEG\tn02\t1\t1\t5\t5"]
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    (root / "words.txt").write_text("n01\tgoldfish, Carassius auratus\nn02\tcrane\nn03\tcrane\nn99\tunused\n")
    return root


def test_tiny_imagenet_is_read_as_it_unpacks(tmp_path: Path) -> None:
    tiny_imagenet(tmp_path / "tiny-imagenet-200")
    found = load(config("tiny_imagenet", path=tmp_path))
    assert found.classes == ("goldfish", "crane (n02)", "crane (n03)")
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 2, 0, 2, 1]
    assert found.test is not None
    assert found.test.tolist() == [6, 7, 8]
    assert found.images.pixels is not None
    assert found.images.pixels.shape == (9, 64, 64, 3)
    assert np.ptp(found.images.pixels[1], axis=2).max() == 0  # a grey one
    assert load(config("tiny_imagenet", path=tmp_path / "tiny-imagenet-200")).fingerprint() == found.fingerprint()


@pytest.mark.parametrize("line", ["val_9.JPEG\tn01", "val_0.JPEG\tn77", "../words.txt\tn01", "val_0.JPEG"])
def test_a_line_that_names_no_known_picture_is_refused(tmp_path: Path, line: str) -> None:
    tiny_imagenet(tmp_path)
    (tmp_path / "val" / "val_annotations.txt").write_text(f"{line}\n")
    with pytest.raises(DatasetError, match="Line 1 of"):
        load(config("tiny_imagenet", path=tmp_path))


# a folder


def picture(path: Path, seed: int, side: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(1, side, 3, seed)[0]).save(path)
    return path


def test_a_folder_of_classes_stays_on_disk(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    paths = [picture(root / "cat" / "a.png", 0), picture(root / "cat" / "b.bmp", 1, side=20)]
    paths += [picture(root / "dog" / "a.png", 2)]
    (root / "dog" / "Thumbs.db").write_bytes(b"no picture")
    (root / "dog" / ".hidden.png").write_bytes(b"")
    (root / "empty").mkdir()
    (root / "notes.txt").write_text("not a class")
    found = load(config("folder", path=root))
    assert (found.name, found.classes, found.labels.tolist()) == ("pets", ("cat", "dog"), [0, 0, 1])
    assert list(found.images.paths) == paths
    assert found.images.contents[0] == hashlib.sha256(paths[0].read_bytes()).hexdigest()
    assert found.test is None
    assert "1 files were left out: 'Thumbs.db'" in found.note.replace(f"{root / 'dog'}{os.sep}", "")


# what is not there


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("mnist", {}, "no MNIST at .*mnist.npz; set NEXTLABEL_DATA"),
        ("mnist", {"path": "{}"}, "torchvision's folder"),
        ("cifar10", {}, "no CIFAR-10 at .*cifar10_jpg.tar.xz; set NEXTLABEL_DATA"),
        ("cifar10", {"path": "{}"}, "cifar-10-batches-py cannot be read as cifar10"),
        ("cifar100", {"path": "{}"}, "cifar-100-python cannot be read as cifar100"),
        ("tiny_imagenet", {"path": "{}"}, "tiny-imagenet-200.zip unpacks"),
        ("folder", {"path": "{}/nowhere"}, "is no folder"),
        ("folder", {"path": "{}"}, "at least two sub-folders"),
    ],
)
def test_what_is_missing_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fields: dict[str, str], said: str
) -> None:
    monkeypatch.setenv("NEXTLABEL_DATA", str(tmp_path / "nothing"))
    with pytest.raises(DatasetError, match=said) as caught:
        load(config(name, **{key: value.format(tmp_path) for key, value in fields.items()}))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_torch_stays_out_where_it_is_not_needed() -> None:
    source = (
        "import sys\nfrom simulation.datasets import DatasetConfig, load\n"
        "load(DatasetConfig(name='digits'))\nprint('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


# the real ones


def real(relative: str) -> None:
    path = (ROOT / data_folder() / relative).resolve()
    if not path.is_file():
        pytest.skip(f"{path} is absent; set NEXTLABEL_DATA to a folder with {relative}")


def test_the_real_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    real("mnist/mnist.npz")
    monkeypatch.chdir(ROOT)
    mnist = load(config("mnist"))
    assert mnist.test is not None
    train = np.bincount(mnist.labels[: mnist.test[0]])
    assert train.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(mnist.labels[mnist.test]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert mnist.images.pixels is not None
    assert mnist.images.pixels[: mnist.test[0]].mean() / 255 == pytest.approx(0.1307, abs=1e-4)


def test_the_real_cifar10(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    real("cifar10/cifar10_jpg.tar.xz")
    monkeypatch.chdir(ROOT)
    cifar = load(config("cifar10"))
    assert cifar.test is not None
    assert np.bincount(cifar.labels[: cifar.test[0]]).tolist() == [5000] * 10
    assert np.bincount(cifar.labels[cifar.test]).tolist() == [1000] * 10
    assert len(set(cifar.images.contents)) == 60_000
    shutil.rmtree(cache)  # 180 MB that pytest would keep for three runs
