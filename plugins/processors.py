"""Where networks compute. Imports torch: import it late."""

from __future__ import annotations

import torch


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def multiplies_bfloat16() -> bool:
    """Whether this machine's CPU has instructions for it; without them it is slower than single precision."""
    return any(has for name, has in torch.cpu.get_capabilities().items() if name.endswith("bf16"))
