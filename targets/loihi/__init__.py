"""Target `loihi`, in the making: the laws of Loihi 1 and 2 as data, and emulation under them.

law.py has the laws; `emulate` runs a network of integers under one, `emulate_net` a lava-dl `.net` file. Models are not
lowered yet, and the target is in no table.
"""

from .emulation import emulate, emulate_net

__all__ = ["emulate", "emulate_net"]
