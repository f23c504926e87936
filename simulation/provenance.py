"""What figures were made with: versions of everything that decides them, and the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = (
    *("nextlabel", "numpy", "scipy", "scikit-learn", "torch", "torchvision", "pillow", "pyarrow", "pydantic"),
    *("ultralytics", "opencv-python-headless", "pycocotools"),  # of studies with boxes
)


def record() -> dict[str, Any]:
    """When, on what, with which versions, and the commit if this is a checkout."""
    return {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(PACKAGES),
        "commit": commit(),
    }


def machine() -> dict[str, Any]:
    """Processor, cores, memory and system; `load` shows other programs that ran meanwhile."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": _gpu(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Of those that are installed."""
    installed = {}
    for package in packages:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


def commit() -> str | None:
    """The checkout's commit, with '+' if files were changed since; None outside a checkout."""
    here = Path(__file__).resolve().parent
    found = _said("git", "-C", str(here), "rev-parse", "--short=12", "HEAD")
    if not found:
        return None
    return found + ("+" if _said("git", "-C", str(here), "status", "--porcelain", "--untracked-files=no") else "")


def _gpu() -> str | None:
    return _said("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or None


def _said(*command: str) -> str:
    """What a command prints; nothing where it does not exist or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _cpu() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
