"""Target `loihi`: models as integers of Loihi 2 in lava-dl's `.net` files, and emulation under the laws of Loihi.

law.py has the laws; `emulate` runs a network of integers under one, `emulate_net` a `.net` file.
"""

from .emulation import emulate, emulate_net
from .target import LoihiTarget

__all__ = ["LoihiTarget", "emulate", "emulate_net"]
