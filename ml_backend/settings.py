"""Environment -> typed settings, the one place that reads the environment."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from pydantic import AliasChoices, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Names are the ones that Label Studio ML backends have always used; NEXTLABEL_* are ours."""

    model_config = SettingsConfigDict(
        env_prefix="",
        extra="ignore",
        populate_by_name=True,
        env_file=Path(os.environ.get("NEXTLABEL_HOME", ".nextlabel")) / "env",  # what `nextlabel run` wrote, if it ran
    )

    label_studio_url: str | None = Field(
        None,
        validation_alias=AliasChoices("LABEL_STUDIO_URL", "LABEL_STUDIO_HOST"),
        description="Where Label Studio answers, as seen from the backend.",
    )
    label_studio_api_key: str | None = Field(None, description="Token used for projects that stored none.")
    basic_auth_user: str | None = Field(None, description="User that Label Studio must send; no check while unset.")
    basic_auth_pass: str | None = Field(None, description="Password that Label Studio must send.")
    host: str = Field("127.0.0.1", validation_alias="NEXTLABEL_HOST", description="Address the server binds.")
    port: int = Field(9090, ge=1, le=65535, description="Port the server binds.")
    public_url: str | None = Field(
        None, validation_alias="NEXTLABEL_URL", description="Where Label Studio reaches the backend."
    )
    workers: int = Field(1, ge=1, le=64, description="Server processes.")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    model_dir: Path = Field(Path(".nextlabel"), description="Folder for the ledger, media, features and models.")
    database_url: str | None = Field(None, description="Ledger; SQLite inside MODEL_DIR while unset.")
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis that RQ uses.")
    queue_prefix: str = Field("nextlabel", validation_alias="NEXTLABEL_QUEUE", description="Name of the RQ queue.")
    start_training_each_n_updates: int = Field(
        10, ge=1, le=100_000, description="New labels after which a new project retrains (its plan can change it)."
    )
    local_files_document_root: Path | None = Field(
        None,
        validation_alias=AliasChoices("LOCAL_FILES_DOCUMENT_ROOT", "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"),
        description="Folder that Label Studio serves under /data/local-files/, if it is on this machine.",
    )
    media_hosts: str = Field(
        "",
        validation_alias="NEXTLABEL_MEDIA_HOSTS",
        description="Hosts beside Label Studio and the projects' storages that images may come from: names, *.names, "
        "name:port, and networks of private addresses, with commas between.",
    )
    predict_seconds: float = Field(
        5.0, gt=0, le=100, validation_alias="NEXTLABEL_PREDICT_SECONDS", description="Bound on inference in /predict."
    )
    reconcile_seconds: int = Field(
        60, ge=1, le=86_400, validation_alias="NEXTLABEL_RECONCILE_SECONDS", description="Period of the comparison."
    )
    plugin_seconds: float = Field(
        600.0,
        gt=0,
        le=86_400,
        validation_alias="NEXTLABEL_PLUGIN_SECONDS",
        description="Limit of one call of a scorer or selector; one that takes longer is named and sits out.",
    )
    trace: bool = Field(
        False,
        validation_alias="NEXTLABEL_TRACE",
        description="Log each call of a scorer or selector: what it read and gave, with shapes and seconds.",
    )
    resnet18_weights: Path | None = Field(
        None, validation_alias="NEXTLABEL_RESNET18", description="Local file with torchvision's ResNet-18 weights."
    )

    data: Path = Field(
        Path("../shared/data"),
        validation_alias="NEXTLABEL_DATA",
        description="Folder of packed data sets for simulations and benchmarks.",
    )
    cache: Path = Field(
        default_factory=lambda: Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nextlabel",
        validation_alias="NEXTLABEL_CACHE",
        description="Folder of what can be computed again: decoded data sets.",
    )

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError(f"LOG_LEVEL is '{value}'; use DEBUG, INFO, WARNING or ERROR.")
        return value.upper()

    @model_validator(mode="after")
    def _trace_is_seen(self) -> Settings:
        """Calls are traced at INFO; a higher level would hide what was asked for."""
        if self.trace and self.log_level in {"WARNING", "ERROR"}:
            self.log_level = "INFO"
        return self

    @property
    def ledger_url(self) -> str:
        return self.database_url or f"sqlite:///{self.model_dir.absolute() / 'ledger.sqlite3'}"

    @property
    def backend_url(self) -> str:
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
