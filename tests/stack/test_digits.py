from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from simulation import digits
from tests.conftest import StudioServer


def test_the_files_hold_the_scans_and_only_missing_ones_are_written(tmp_path: Path) -> None:
    assert digits.write(tmp_path) == 1797
    (tmp_path / "0003.png").unlink()
    assert digits.write(tmp_path) == 1
    scans = load_digits().images
    for index in (0, 3, 1796):
        pixels = np.asarray(Image.open(tmp_path / f"{index:04d}.png"))
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(np.rint(pixels * (16 / 255)), scans[index])
    assert digits.answers()["0003.png"] == str(load_digits().target[3])


def test_the_config_asks_for_one_of_ten_with_keys() -> None:
    choices = ElementTree.fromstring(digits.LABEL_CONFIG).findall(".//Choice")
    assert [(choice.get("value"), choice.get("hotkey")) for choice in choices] == [(str(i), str(i)) for i in range(10)]


@pytest.mark.studio
def test_the_project_is_made_once_and_repaired_where_it_was_left(studio_server: StudioServer) -> None:
    client = studio_server.client()
    for old in client.call("GET", "/api/projects/", params={"title": digits.TITLE})["results"]:
        client.call("DELETE", f"/api/projects/{old['id']}/")
    digits.write(studio_server.media_dir / digits.FOLDER)
    project, new = digits.find_or_create(client, None)
    assert new
    assert digits.find_or_create(client, None) == (project, False)  # killed before its number was saved
    client.import_tasks(project, [{"image": digits.url("0000.png")}])  # killed while importing
    assert digits.import_missing(client, project) == 1796
    assert digits.import_missing(client, project) == 0
    assert digits.label_at_random(client, project, 3) == 3
    assert digits.label_at_random(client, project, 5) == 2
    truth = digits.answers()
    labeled = [task for task in client.tasks(project) if task["annotations"]]
    assert len(labeled) == 5
    for task in labeled:
        assert task["annotations"][0]["result"][0]["value"]["choices"] == [truth[digits.name_of(task)]]
    if studio_server.media_dir != studio_server.data_dir:  # a server of the tests' own
        digits.allow_files(client, project, studio_server.media_dir)
        digits.allow_files(client, project, studio_server.media_dir)
        assert len(client.call("GET", "/api/storages/localfiles/", params={"project": project})) == 1
        image = client.download(studio_server.url + digits.url("0000.png"), limit=10_000)
        assert image == (studio_server.media_dir / digits.FOLDER / "0000.png").read_bytes()
    client.call("DELETE", f"/api/projects/{project}/")
    assert digits.find_or_create(client, project)[1]  # someone deleted it: a new one
    client.close()
