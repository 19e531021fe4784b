"""The SHA-256 of a file."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

_CHUNK_BYTES = 1 << 20


def file_digest(file: BinaryIO) -> tuple[str, int]:
    """sha256 and length of an open file; its position is at the start afterwards."""
    digest, size = hashlib.sha256(), 0
    file.seek(0)
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
    file.seek(0)
    return digest.hexdigest(), size
