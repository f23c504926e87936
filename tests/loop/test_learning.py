"""Evidence: what a training gives is what a later ranking recalls, and items that came later are predicted."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from ml_backend.learners.contract import Images
from ml_backend.loop.house import House
from ml_backend.loop.learning import LabelHistory, evidence_key, recall, train
from ml_backend.loop.plan import ChosenScorer, Plan
from ml_backend.loop.pool import Pool
from ml_backend.loop.ranking import rank
from ml_backend.settings import Settings

CLASSES = tuple(str(digit) for digit in range(10))


@pytest.fixture
def rooms(tmp_path: Path) -> House:
    return House(Settings(_env_file=None, model_dir=tmp_path))


def images(folder: Path, wanted: range) -> Images:
    paths = []
    for index in wanted:
        path = folder / f"{index}.png"
        if not path.exists():
            Image.fromarray((load_digits().images[index] * 15.9375).astype(np.uint8)).save(path)
        paths.append(path)
    return Images([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths], paths)


def pool(folder: Path, waiting: range, labeled: range) -> Pool:
    labels = load_digits().target[list(labeled)].astype(np.int64)
    return Pool(
        task_id=np.array(waiting, dtype=np.int64),
        images=images(folder, waiting),
        skipped=np.zeros(0, dtype=np.int64),
        labeled_task_id=np.array(labeled, dtype=np.int64),
        labeled_images=images(folder, labeled),
        labels=labels,
        counts=np.bincount(labels, minlength=10),
    )


def test_a_ranking_recalls_exactly_what_was_learned(rooms: House, tmp_path: Path) -> None:
    given = pool(tmp_path, range(100, 180), range(60))
    learned = train(rooms, 1, 1, Plan(), given, CLASSES)
    assert learned.accuracy is not None
    assert learned.evidence.label_history.shape[0] == 80
    assert learned.evidence.label_history.dtype == np.uint8
    again = recall(rooms, 1, 1, Plan(), given, CLASSES)
    assert again is not None
    for column in ("probabilities", "label_history", "embeddings", "labeled_embeddings", "labels", "counts"):
        np.testing.assert_array_equal(again.evidence.column(column), learned.evidence.column(column))


def test_labeled_items_leave_the_pool_and_new_ones_are_predicted(rooms: House, tmp_path: Path) -> None:
    first = train(rooms, 1, 1, Plan(), pool(tmp_path, range(100, 180), range(60)), CLASSES)
    later = pool(tmp_path, range(110, 190), range(60))
    later = Pool(**{**vars(later), "labeled_task_id": np.arange(60), "labels": later.labels})
    learned = recall(rooms, 1, 1, Plan(), later, CLASSES)
    assert learned is not None
    assert "10 items came after" in learned.notes[0]
    np.testing.assert_array_equal(learned.evidence.probabilities[:70], first.evidence.probabilities[10:])
    fresh = learned.evidence.probabilities[70:]
    np.testing.assert_allclose(fresh.sum(axis=1), 1, atol=1e-5)
    assert (fresh.argmax(axis=1) == load_digits().target[180:190]).mean() >= 0.7
    assert (learned.evidence.label_history[70:] == fresh.argmax(axis=1)[:, None]).all()
    assert learned.evidence.embeddings.shape[0] == 80


def test_other_classes_or_lost_evidence_ask_for_a_training(rooms: House, tmp_path: Path) -> None:
    given = pool(tmp_path, range(100, 120), range(40))
    train(rooms, 1, 1, Plan(), given, CLASSES)
    assert recall(rooms, 1, 1, Plan(), given, (*CLASSES, "other")) is None
    rooms.arrays.delete(evidence_key(1, 1))
    assert recall(rooms, 1, 1, Plan(), given, CLASSES) is None


def test_only_the_evidence_of_the_last_trainings_is_kept(rooms: House, tmp_path: Path) -> None:
    given = pool(tmp_path, range(100, 110), range(30))
    for cycle in range(1, 9):
        train(rooms, 1, cycle, Plan(), given, CLASSES)
    assert rooms.arrays.keys("projects/1/evidence") == [evidence_key(1, cycle) for cycle in range(4, 9)]


def test_label_history_uses_the_smallest_integers() -> None:
    for classes, expected in ((2, np.uint8), (256, np.uint8), (257, np.uint16)):
        history = LabelHistory(classes)
        for epoch in range(3):
            history(epoch, np.array([classes - 1, 0]))
        assert history.matrix(2).dtype == expected
        assert history.matrix(2).tolist() == [[classes - 1] * 3, [0] * 3]
    assert LabelHistory(3).matrix(5).shape == (5, 0)


BALD = Plan(scorers=(ChosenScorer(name="bald"),))


def test_dropout_passes_are_made_for_a_plan_that_reads_them_and_recalled(rooms: House, tmp_path: Path) -> None:
    given = pool(tmp_path, range(100, 180), range(60))
    assert not train(rooms, 1, 1, Plan(), given, CLASSES).evidence.has("expected_entropy")
    assert recall(rooms, 1, 1, BALD, given, CLASSES) is None, "a switch to BALD needs a training"
    learned = train(rooms, 1, 2, BALD, given, CLASSES)
    assert learned.evidence.expected_probabilities.shape == (80, 10)
    values = rank(learned.evidence, BALD, labels=60).columns[0].scores.values
    assert values.max() > 0
    again = recall(rooms, 1, 2, BALD, given, CLASSES)
    assert again is not None
    for column in ("expected_probabilities", "expected_entropy"):
        np.testing.assert_array_equal(again.evidence.column(column), learned.evidence.column(column))
    later = pool(tmp_path, range(100, 190), range(60))
    assert recall(rooms, 1, 2, BALD, later, CLASSES) is None, "nothing is known of the passes on later items"


def test_plugins_may_see_small_pictures(rooms: House, tmp_path: Path) -> None:
    learned = train(rooms, 1, 1, Plan(), pool(tmp_path, range(100, 130), range(60)), CLASSES)
    assert learned.evidence.images.shape == (30, 8, 8, 1)
    assert learned.evidence.labeled_images.shape == (60, 8, 8, 1)
