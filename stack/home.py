"""The folder where the stack keeps its data, and the state file that names ports, secrets and children."""

from __future__ import annotations

import os
import secrets
import shlex
import tempfile
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

ROOT = Path(__file__).resolve().parent.parent  # of the checkout


class StackError(Exception):
    """The stack cannot go on; the message says what was wrong and what to do."""


class Record(BaseModel):
    """A child that was started: enough to recognise it later, even when its pid was given to someone else."""

    name: str
    pid: int
    created: float = Field(description="Start of the process in seconds since the epoch.")


class State(BaseModel):
    """What one run leaves for the next. Secrets are drawn once and kept."""

    studio_port: int | None = None
    redis_port: int | None = None
    backend_port: int | None = None
    email: str = "admin@example.com"
    password: str = Field(default_factory=lambda: secrets.token_urlsafe(9))
    token: str = Field(default_factory=lambda: secrets.token_hex(20))
    basic_user: str = "label-studio"
    basic_password: str = Field(default_factory=lambda: secrets.token_urlsafe(24))
    redis_password: str = Field(default_factory=lambda: secrets.token_urlsafe(24))
    studio_created: bool = Field(False, description="Label Studio's database was created to the end.")
    project: int | None = None
    seeded: bool = Field(False, description="The project has its tasks, its first labels and a first ranking.")
    pid: int | None = Field(None, description="The run that holds the folder.")
    children: list[Record] = []

    @property
    def studio_url(self) -> str:
        return f"http://127.0.0.1:{self.studio_port}"

    @property
    def backend_url(self) -> str:
        return f"http://127.0.0.1:{self.backend_port}"


class Home:
    """A folder that only its owner can read.

    path: created if it is missing. Raises StackError if it cannot be, or if the state file is not one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.logs, self.media, self.redis, self.backend):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StackError(f"{self.path} cannot be used ({error}); name another folder in NEXTLABEL_HOME.") from error
        self.state = self._load()

    @classmethod
    def default(cls) -> Home:
        """NEXTLABEL_HOME, else .nextlabel in the checkout."""
        return cls(Path(os.environ.get("NEXTLABEL_HOME") or ROOT / ".nextlabel"))

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def media(self) -> Path:
        """What Label Studio serves under /data/local-files/; nothing else may lie in it."""
        return self.path / "media"

    @property
    def redis(self) -> Path:
        return self.path / "redis"

    @property
    def studio(self) -> Path:
        return self.path / "studio"

    @property
    def backend(self) -> Path:
        return self.path / "backend"

    @property
    def lock(self) -> Path:
        return self.path / "run.lock"

    @property
    def state_file(self) -> Path:
        return self.path / "state.json"

    @property
    def environment_file(self) -> Path:
        return self.path / "env"

    def _load(self) -> State:
        try:
            return State.model_validate_json(self.state_file.read_bytes())
        except FileNotFoundError:
            return State()
        except (OSError, ValidationError) as error:
            raise StackError(
                f"{self.state_file} cannot be read ({type(error).__name__}); move {self.path} away to start afresh."
            ) from error

    def reload(self) -> State:
        """The state as the run that holds the folder wrote it."""
        self.state = self._load()
        return self.state

    def save(self) -> None:
        """Replaces the state file in one step: a killed run leaves the old one or the new one."""
        write_private(self.state_file, self.state.model_dump_json(indent=2) + "\n")

    def write_environment(self, environment: dict[str, str]) -> Path:
        """A file that a shell can source, so that `nextlabel status` and the like find this stack."""
        lines = (f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
        write_private(self.environment_file, "".join(lines))
        return self.environment_file


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, completely or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    Path(name).replace(path)
