"""Permissions of files for root, who may read and write everything: inside, they count as for anybody. Not tests."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_VERSION, _OF_FILES = 0x20080522, 0b1110  # _LINUX_CAPABILITY_VERSION_3; CAP_DAC_OVERRIDE, _READ_SEARCH, CAP_FOWNER


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Capabilities(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextmanager
def permissions_count() -> Iterator[None]:
    """Inside, this thread has no capability to pass over the permissions of files."""
    if os.geteuid() != 0:
        yield
        return
    header, held = _Header(_VERSION, 0), (_Capabilities * 2)()
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "capset") or libc.capget(ctypes.byref(header), held) != 0:
        pytest.skip("root may read and write everything, and this system has no capabilities that it could lay down")
    before = held[0].effective
    held[0].effective = before & ~_OF_FILES
    libc.capset(ctypes.byref(header), held)
    try:
        yield
    finally:
        held[0].effective = before
        libc.capset(ctypes.byref(header), held)
