"""Target `spinnaker`: the laws of sPyNNaker 7.4.1's IF_curr_exp and IF_curr_delta as integer programs, bit for bit.

derive.py: what the chip derives from the parameter words that the host writes. law.py: the programs. projections.py:
synaptic rows as projections. network.py: what the chip's memory holds, as a fixed graph. emulation.py: runs of one
population and of a network. refusals.py: which neurons there are. parameters.py (with times.py), counting.py,
schedule.py, weights.py, choose.py, lower.py: a model in the chip's terms.
limits.py, artefact.py, reading.py, recording.py, report.py, deploy.py, target.py: the folder that is written, and run.
vendor.py, predicted.py, virtual_board.py: what the real sPyNNaker makes of it. chip2_*.py: SpiNNaker 2.
"""

from .emulation import emulate, emulate_network
from .target import SpinnakerTarget, write_raster

__all__ = ["SpinnakerTarget", "emulate", "emulate_network", "write_raster"]
