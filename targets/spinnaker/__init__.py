"""SpiNNaker: the laws of sPyNNaker 7.4.1's IF_curr_exp and IF_curr_delta as integer programs, bit for bit.

derive.py: what the chip derives from the parameter words that the host writes. law.py: the programs. projections.py:
synaptic rows as projections. network.py: what the chip's memory holds, as a fixed graph. emulation.py: runs of one
population and of a network. Models cannot be exported to it yet, and it stands in no list of targets.
"""

from .emulation import emulate, emulate_network

__all__ = ["emulate", "emulate_network"]
