"""Label Studio's exports as tasks of its API: JSON is nearly that, JSON_MIN is one flat record for each annotation."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ml_backend.studio.labels import ImageClassification, Json
from simulation.datasets.contract import DatasetError

ABOUT = {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"}  # of JSON_MIN
ASK = "set `config` to the file with the project's labeling config"


@dataclass(frozen=True)
class Export:
    """Rows as they stand in the file, of one format."""

    path: Path
    rows: tuple[Json, ...]
    minimal: bool  # JSON_MIN


def read_export(path: Path) -> Export:
    """The rows of a JSON or JSON_MIN export."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}); set `path` to a JSON export.") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is no JSON ({error}); export the project as JSON or JSON-MIN.") from error
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise DatasetError(f"{path} is no list of tasks; export the project as JSON or JSON-MIN.")
    full = {isinstance(row.get("data"), dict) for row in rows}
    if len(full) > 1:
        raise DatasetError(f"{path} holds tasks with and without `data`; export the project again, as one format.")
    return Export(path, tuple(rows), minimal=not full.pop())


def data_of(export: Export) -> list[Json]:
    """What each row says of its data; in JSON_MIN the answers stand among it."""
    if export.minimal:
        return [{key: value for key, value in row.items() if key not in ABOUT} for row in export.rows]
    return [row["data"] for row in export.rows]


def tasks_of(export: Export, config: ImageClassification) -> list[Json]:
    """Tasks as `ml_backend.studio.labels.read_task` reads them."""
    if not export.minimal:
        return list(export.rows)
    groups: dict[object, list[Json]] = defaultdict(list)
    for position, row in enumerate(export.rows):
        number = row.get("id")
        groups[number if isinstance(number, int) else f"row {position}"].append(row)
    return [
        {"id": number, "data": rows[0], "annotations": [_annotation(row, config) for row in rows]}
        for number, rows in groups.items()
    ]


def _annotation(row: Json, config: ImageClassification) -> Json:
    """One flat record as an annotation; 'choices' is a string for one choice and a dict for several."""
    answer = row.get(config.from_name)
    choices = [answer] if isinstance(answer, str) else answer.get("choices") if isinstance(answer, dict) else None
    region = {"from_name": config.from_name, "to_name": config.to_name, "value": {"choices": choices}}
    return {
        "id": row.get("annotation_id"),
        "completed_by": row.get("annotator"),
        "updated_at": row.get("updated_at"),
        "created_at": row.get("created_at"),
        "lead_time": row.get("lead_time"),
        "result": [{**region, "type": "choices"}] if answer is not None else [],
    }


def infer(export: Export, data_key: str) -> ImageClassification:
    """The question that the annotations answer, where no labeling config says it: the one that exists, or an error."""
    found = _minimal_answers(export, data_key) if export.minimal else _full_answers(export)
    if len(found) != 1:
        names = ", ".join(f"'{name}'" for name, _ in found)
        said = f"answers several questions ({names})" if found else "holds no answer of <Choices>"
        raise DatasetError(f"{export.path} {said}; {ASK}.")
    (from_name, to_name), labels = found.popitem()
    if len(labels) < 2:
        raise DatasetError(f"{export.path} holds the answers {sorted(labels)} alone; label images of a second class.")
    return ImageClassification(from_name, to_name, data_key, tuple(sorted(labels)))


def _full_answers(export: Export) -> dict[tuple[str, str], set[str]]:
    """(from_name, to_name) -> the labels chosen, of every region of <Choices> that was submitted."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in export.rows:
        for annotation in _dicts(row.get("annotations")):
            for region in _dicts(annotation.get("result")) if annotation.get("was_cancelled") is not True else ():
                value = region.get("value")
                choices = value.get("choices") if isinstance(value, dict) else None
                if region.get("type") == "choices" and isinstance(choices, list):
                    chosen = {choice for choice in choices if isinstance(choice, str)} if len(choices) == 1 else set()
                    found[str(region.get("from_name")), str(region.get("to_name"))] |= chosen
    return found


def _minimal_answers(export: Export, data_key: str) -> dict[tuple[str, str], set[str]]:
    """The same of flat records: every key of strings might be the question. The image's tag is not named there."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in data_of(export):
        for key, value in row.items():
            if key != data_key and isinstance(value, str):
                found[key, data_key].add(value)
    return found


def _dicts(value: object) -> Iterable[Json]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
