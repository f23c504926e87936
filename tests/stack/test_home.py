import stat
from pathlib import Path

import pytest

from stack.home import Home, StackError, write_private


def test_secrets_are_drawn_once_and_only_the_owner_reads_them(tmp_path: Path) -> None:
    first = Home(tmp_path / "home")
    first.save()
    again = Home(tmp_path / "home")
    assert again.state == first.state
    assert len(first.state.token) == 40
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(first.state_file.stat().st_mode) == 0o600
    assert Home(tmp_path / "other").state.password != first.state.password


def test_a_broken_state_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"studio_port": "many"}')
    with pytest.raises(StackError, match=r"state\.json cannot be read .* move .* away"):
        Home(tmp_path)


def test_a_place_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match="NEXTLABEL_HOME"):
        Home(tmp_path / "file" / "home")


def test_the_variable_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTLABEL_HOME", str(tmp_path / "elsewhere"))
    assert Home.default().path == tmp_path / "elsewhere"


def test_the_environment_file_survives_a_shell(tmp_path: Path) -> None:
    home = Home(tmp_path)
    path = home.write_environment({"REDIS_URL": "redis://:p'$x y@127.0.0.1:1/0"})
    assert path.read_text() == """export REDIS_URL='redis://:p'"'"'$x y@127.0.0.1:1/0'\n"""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "state.json"
    write_private(target, "old")

    def full(self: Path, _target: Path) -> Path:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_private(target, "new")
    assert target.read_text() == "old"
