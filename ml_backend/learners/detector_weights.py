"""Where a detector's training begins: a named file, published weights if they can be had, or random ones. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ml_backend.learners import weights


@dataclass(frozen=True)
class Published:
    """what: for people ('YOLO11n trained on COCO'). hashed: whether the URL's name ends in the file's SHA-256."""

    what: str
    url: str
    hashed: bool = True


@dataclass(frozen=True)
class Beginning:
    """path: of the weights, None for random ones; what: where from, for people; of: which of the published ones."""

    path: Path | None
    what: str
    of: Published | None = None
    notes: tuple[str, ...] = ()


def beginning(setting: str, published: Sequence[Published]) -> Beginning:
    """setting: 'auto' (torch's cache, then the network, for each of `published`), 'scratch', or a file that must exist.

    With 'auto' and nothing to be had, a note says that training begins at random weights, and what to do about it.
    """
    if setting == "scratch":
        return Beginning(None, "from scratch")
    if setting != "auto":
        file = Path(setting).expanduser()
        if not file.is_file():
            raise weights.WeightsError(
                f"The detector's weights '{setting}' are not a file; name one, or write 'auto' or 'scratch'."
            )
        return Beginning(file, f"from the weights in {setting}")
    causes = []
    for source in published:
        path, cause = _had(source)
        if path is not None:
            return Beginning(path, f"from {source.what}", source)
        causes.append(cause)
    note = (
        f"Published weights ({published[0].what}) could not be had ({causes[0]}), so training began at random weights, "
        "which takes many more labels; name a local file in `weights`."
    )
    return Beginning(None, "from scratch", None, (note,))


@cache
def _had(source: Published) -> tuple[Path | None, str]:
    """The file, or None and why not; a process asks the network once."""
    path = weights.cached(source.url)
    if path.is_file():
        return path, ""
    try:
        return weights.fetch(source.url, path, what=source.what, hashed=source.hashed), ""
    except weights.WeightsError as error:
        return None, str(getattr(error.__cause__, "reason", None) or error.__cause__ or error)
