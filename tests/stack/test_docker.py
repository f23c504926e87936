"""What can be known of docker/ without a Docker engine; building the image and starting it are not tried here."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import AliasChoices

from ml_backend.settings import Settings
from stack.ports import free_port
from stack.redis import answers, server_binary
from stack.studio import FLAGS

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
OURS = ("backend", "worker")


def settings_names() -> set[str]:
    """Every environment variable that Settings reads."""
    names: set[str] = set()
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        names |= {str(c) for c in alias.choices} if isinstance(alias, AliasChoices) else {str(alias or name).upper()}
    return names


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", (DOCKER / "Dockerfile").read_text())
    return [
        (word, rest)
        for word, _, rest in (line.partition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    ]


def entry_points() -> set[str]:
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"])


def commands() -> set[str]:
    """The subcommands of `nextlabel`."""
    from typer.core import TyperGroup
    from typer.main import get_command

    from cli import app

    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return set(group.commands)


def test_the_five_services_are_there() -> None:
    assert set(SERVICES) == {"label-studio", "postgres", "redis", *OURS}


@pytest.mark.parametrize("name", OURS)
def test_our_commands_exist(name: str) -> None:
    program, command = SERVICES[name]["command"]
    assert program in entry_points()
    assert command in commands()


@pytest.mark.parametrize("name", OURS)
def test_settings_reads_every_variable(name: str) -> None:
    assert set(SERVICES[name]["environment"]) <= settings_names()


def test_label_studio_has_the_flags_of_the_stack() -> None:
    given = SERVICES["label-studio"]["environment"]
    left_out = {"LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED", "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN"}
    for name in FLAGS.keys() - left_out:
        assert given[name] == FLAGS[name]
    assert not left_out & given.keys()  # a team uploads or uses a bucket, and draws personal access tokens
    locked = re.search(r"^label-studio==(\S+)", (ROOT / "requirements-studio.txt").read_text(), re.MULTILINE)
    assert locked
    assert SERVICES["label-studio"]["image"].endswith(f":{locked[1]}")


def test_the_redis_command_starts_a_redis_with_the_password(tmp_path: Path) -> None:
    shell, flag, script = SERVICES["redis"]["command"]
    port = free_port()
    script = script.replace("$$", "$").replace("/tmp/", f"{tmp_path}/").replace("redis-server", str(server_binary()))
    script = script.replace("dir /data", f"dir {tmp_path}\\nport {port}")
    server = subprocess.Popen([shell, flag, script], env={"REDIS_PASSWORD": "s3cret", "PATH": os.defpath})
    try:
        deadline = time.monotonic() + 20
        while not answers(f"redis://:s3cret@127.0.0.1:{port}/0"):
            assert server.poll() is None
            assert time.monotonic() < deadline
        assert not answers(f"redis://127.0.0.1:{port}/0")
    finally:
        server.terminate()
        assert server.wait(timeout=20) == 0  # the signal reaches Redis itself, which saves and ends


def test_ports_are_published_on_loopback_only() -> None:
    for service in SERVICES.values():
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))


def test_every_service_is_watched_and_keeps_its_data_in_a_named_volume() -> None:
    volumes = yaml.safe_load((DOCKER / "compose.yaml").read_text())["volumes"]
    for name, service in SERVICES.items():
        assert "healthcheck" in service or (name == "backend" and any(w == "HEALTHCHECK" for w, _ in instructions()))
        sources = [volume.partition(":")[0] for volume in service["volumes"]]
        assert sources[0] in volumes
        assert all((DOCKER / source).is_file() for source in sources[1:])


def test_what_a_service_waits_for_has_a_health_check() -> None:
    for service in SERVICES.values():
        for other in service.get("depends_on", {}):
            assert "healthcheck" in SERVICES[other]


def test_every_secret_comes_from_the_environment_file() -> None:
    text = (DOCKER / "compose.yaml").read_text()
    example = (DOCKER / ".env.example").read_text()
    required = set(re.findall(r"\$\{(\w+):\?\}", text))
    assert required == set(re.findall(r"^(\w+)=", example, re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+):-", text)) == set(re.findall(r"^#(\w+)=", example, re.MULTILINE))


def test_the_dockerfile_copies_what_exists_and_its_ignore_file_lets_through() -> None:
    let_through = {
        line[1:] for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    }
    sources = [
        source
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in shlex.split(rest)[:-1]
    ]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source in let_through, source
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {package.rstrip("*") for package in packages} <= set(sources)


def test_the_image_runs_as_a_user_with_the_hashed_lock() -> None:
    words = instructions()
    assert [rest for word, rest in words if word == "USER"] == ["nextlabel"]
    assert [word for word, _ in words].index("USER") > [word for word, _ in words].index("VOLUME")
    installs = [rest for word, rest in words if word == "RUN" and "pip install" in rest]
    assert "--no-deps --require-hashes -r requirements.txt" in installs[0]
    assert words[-1] == ("CMD", '["nextlabel", "serve"]')
    assert "/health" in next(rest for word, rest in words if word == "HEALTHCHECK")


def test_compose_accepts_the_file() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("the docker client has no compose plugin, so `docker compose config` was not run")
    command = [docker, "compose", "-f", "docker/compose.yaml", "--env-file", "docker/.env.example", "config", "--quiet"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
