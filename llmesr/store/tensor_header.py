"""How a safetensors file begins: the length of a JSON header in 8 bytes, the header, then the bytes of the tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_header(path: Path, longest: int | None = None) -> tuple[dict[str, Any], int]:
    """What a file says of its tensors, and where their bytes begin. OSError or ValueError when it says nothing, or more
    than ``longest`` bytes."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if longest is not None and length > longest:
            raise ValueError("its header is none")
        return json.loads(file.read(length)), 8 + length


def header_bytes(header: dict[str, Any]) -> bytes:
    """The beginning of a file with this header; tensors behind it are aligned to 8 bytes."""
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
