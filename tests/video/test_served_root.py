"""Which files Label Studio can serve, at which address, and which storage must name their folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.loop.served_root import FOLDER, ServedRoot
from ml_backend.studio.local_files import data_key, path_of, url_of
from ml_backend.video.container import VideoError


@pytest.fixture
def root(tmp_path: Path) -> ServedRoot:
    (tmp_path / "root" / "run ä").mkdir(parents=True)
    return ServedRoot(tmp_path / "root", "/label-studio/files/")


def test_a_root_must_be_set_and_there(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="LOCAL_FILES_DOCUMENT_ROOT is not set; name the folder"):
        ServedRoot(None)
    with pytest.raises(VideoError, match="none', which is no folder"):
        ServedRoot(tmp_path / "none")


def test_files_below_the_root(root: ServedRoot) -> None:
    file = root.root / "run ä" / "1.png"
    assert root.holds(file.parent)
    assert root.url(file) == "/data/local-files/?d=run%20%C3%A4/1.png"
    assert root.storage(file) == "/label-studio/files/run ä"
    assert not root.holds(root.root)  # Label Studio takes no storage of the root itself


def test_nothing_outside_the_root(root: ServedRoot, tmp_path: Path) -> None:
    (tmp_path / "root-too").mkdir()
    (tmp_path / "root-too" / "a.png").touch()
    (root.root / "run ä" / "link.png").symlink_to(tmp_path / "root-too" / "a.png")
    (root.root / "linked").symlink_to(tmp_path / "root-too")
    assert not root.holds(tmp_path / "root-too")
    assert not root.holds(root.root / "linked")
    assert not root.holds(root.root / ".." / "root-too")
    for file in ("../root-too/a.png", "run ä/link.png", "linked/a.png"):
        with pytest.raises(VideoError, match="lies outside"):
            root.url(root.root / file)


def test_our_own_folder_may_be_a_link_to_a_larger_disk(root: ServedRoot, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    root.store.symlink_to(tmp_path / "disk")
    file = root.store / "3f2a" / "000001.jpg"
    assert root.url(file) == f"/data/local-files/?d={FOLDER}/3f2a/000001.jpg"
    assert root.storage(file) == f"/label-studio/files/{FOLDER}"


def test_a_name_that_is_no_text_is_refused(root: ServedRoot) -> None:
    with pytest.raises(VideoError, match="rename it"):
        root.url(root.root / "run ä" / "\udcff.png")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda path: not path.startswith("/")))
def test_an_address_leads_back_to_its_file(path: str) -> None:
    assert path_of(url_of(path)) == path
    assert path_of("http://127.0.0.1:8080/studio" + url_of(path)) == path


@pytest.mark.parametrize(
    "url", [None, 7, "", "a.png", "http://[", "/data/upload/1/a.png", "/data/local-files/", "s3://a/b"]
)
def test_what_is_no_such_address(url: object) -> None:
    assert path_of(url) is None


def test_the_key_that_a_config_shows() -> None:
    project = {
        "parsed_label_config": {
            "c": {"type": "Choices", "inputs": [{"type": "Image", "value": "photo"}]},
            "t": {"type": "TimelineLabels", "inputs": [{"type": "Video", "value": "clip"}]},
        }
    }
    assert (data_key(project, "Image"), data_key(project, "Video"), data_key(project, "Audio")) == (
        "photo",
        "clip",
        None,
    )
    assert data_key({"parsed_label_config": None}, "Image") is None
