"""Images whose answers are known: from where they lie to what a run may ask, test on, and begin with."""

from simulation.datasets.contract import Dataset, DatasetConfig, DatasetError, Parts
from simulation.datasets.drawing import draw_initial, long_tail, split
from simulation.datasets.loading import load

__all__ = ["Dataset", "DatasetConfig", "DatasetError", "Parts", "draw_initial", "load", "long_tail", "split"]
