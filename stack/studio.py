"""Label Studio, from its own environment, on loopback, with the flags that an ML backend beside it needs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from ml_backend.studio.client import Studio, StudioError
from stack.home import ROOT, Home, StackError
from stack.ports import HOST
from stack.processes import Service

FLAGS = {
    "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
    "COLLECT_ANALYTICS": "false",
    "LATEST_VERSION_CHECK": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    # A bulk write into a project of 100 000 tasks takes 0.1 s instead of 98 s; we validate before we write.
    "fflag_fix_back_4620_memory_efficient_predictions_import_08012025_short": "true",
    # It refuses backends and webhooks on private addresses otherwise, and ours is on 127.0.0.1.
    "ML_BLOCK_LOCAL_IP": "false",
    "SSRF_PROTECTION_ENABLED": "false",
    "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
    "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",  # the demo's token; a team uses personal access tokens
}


def executable() -> Path:
    """The `label-studio` command in .venv-studio. StackError if it is not installed."""
    path = ROOT / ".venv-studio" / "bin" / "label-studio"
    if not path.is_file():
        raise StackError(f"Label Studio is not installed ({path} is missing); `make run` or `make test` installs it.")
    return path


def environment(home: Home, port: int, inherited: Mapping[str, str]) -> dict[str, str]:
    """What Label Studio is started with. Secrets travel here, since arguments can be read by every user.

    Its own variables and plain HOST, PORT, ... of the caller are left out: it would take them for its settings.
    """
    foreign = ("LABEL_STUDIO_", "HEARTEX_", "DJANGO_", "POSTGRE_")
    plain = {
        "HOST",
        "PORT",
        "USERNAME",
        "PASSWORD",
        "USER_TOKEN",
        "DATABASE_NAME",
        "DATABASE_URL",
        "DEBUG",
        "LOG_LEVEL",
    }
    kept = {name: value for name, value in inherited.items() if not name.startswith(foreign) and name not in plain}
    state = home.state
    return {
        **kept,
        **FLAGS,
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(home.media),
        "LABEL_STUDIO_HOST": f"http://{HOST}:{port}",
        "LABEL_STUDIO_USERNAME": state.email,
        "LABEL_STUDIO_PASSWORD": state.password,
        "LABEL_STUDIO_USER_TOKEN": state.token,
    }


def answers(url: str, state_email: str, token: str) -> bool:
    """Whether *our* Label Studio answers: it moves to the next port silently when its own is taken."""
    studio = Studio(url, token, timeout=5.0)
    try:
        studio.version()
        return str(studio.whoami().get("email", "")) == state_email
    except StudioError:
        return False
    finally:
        studio.close()


def service(home: Home, port: int) -> Service:
    """Label Studio with its data in `home`. A database that was never created to the end is created anew."""
    if not home.state.studio_created and home.studio.exists():
        shutil.rmtree(home.studio)
    home.studio.mkdir(mode=0o700, exist_ok=True)
    command = [str(executable()), "start", "--no-browser", "--data-dir", str(home.studio)]
    command += ["--internal-host", HOST, "--port", str(port), "--log-level", "INFO"]
    url, state = f"http://{HOST}:{port}", home.state
    return Service(
        "label-studio",
        command,
        environment(home, port, os.environ),
        lambda _: answers(url, state.email, state.token),
        patience=240.0,
    )
