"""Where published weights are: a named file, torch's cache, or the network. Never imports torch."""

from __future__ import annotations

import hashlib
import os
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

URL = "https://download.pytorch.org/models/resnet18-f37072fd.pth"  # torchvision's ResNet18_Weights.IMAGENET1K_V1
PUBLISHED = "f37072fd"  # how the file's SHA-256 begins
CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 180.0


class WeightsError(RuntimeError):
    """The published weights cannot be had; the message is one sentence with the remedy."""


def cached(url: str | None = None) -> Path:
    """Where torch.hub keeps the file of a URL (TORCH_HOME, else XDG_CACHE_HOME/torch), whether it exists or not."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    home = os.environ.get("TORCH_HOME") or str(Path(cache) / "torch")
    return Path(home).expanduser() / "hub" / "checkpoints" / (url or URL).rsplit("/", 1)[1]


def named(path: str) -> Path:
    """The file that a setting names, or WeightsError."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise WeightsError(f"ResNet-18 weights '{path}' are not a file; name torchvision's resnet18-f37072fd.pth.")
    return file


def fetch(
    url: str | None = None,
    target: Path | None = None,
    *,
    total_seconds: float = TOTAL_SECONDS,
    what: str = "ResNet-18 weights",
    hashed: bool = True,
) -> Path:
    """Downloads into torch's cache, checks the hash that the file name states (`hashed`), moves it into place.

    Fails within 5 s where nothing answers. WeightsError says why.
    """
    url, target = url or URL, target or cached(url)
    wanted = url.rsplit("-", 1)[1].split(".")[0] if hashed else ""
    digest = hashlib.sha256()
    part = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
    deadline = time.monotonic() + total_seconds
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=CONNECT_SECONDS) as answer, part.open("wb") as file:
            while block := answer.read(1 << 20):
                digest.update(block)
                file.write(block)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not complete after {total_seconds:.0f} s")
        if not digest.hexdigest().startswith(wanted):
            raise WeightsError(f"{url} has the wrong SHA-256 {digest.hexdigest()[:8]}; fetch the file by hand.")
        part.replace(target)
    except (OSError, urllib.error.URLError) as error:
        cause = getattr(error, "reason", error)
        raise WeightsError(
            f"{what} could not be fetched from {url} ({cause}); name a local file in `weights`."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return target
