"""What a training should need, from its features alone: one row an algorithm.

    seconds on one core = start + k · work · folds        memory in MiB = base + 4 · table + what the row says

The rows are of 109 fits of scikit-learn, one thread each, measured for the design (scheduling, section 6). What a run
of this service adds to a fit was measured on 35 jobs (`bench/sizing/fits.py`, five a kind of seed 1): it begins as a
fork that shares its libraries, so it starts sooner and holds less than an interpreter of its own (2 s, 160 MiB), but it
reads, splits and judges the table. How well all this foretells other jobs says `bench/results/sizing.md`. The row of
`cnn` is not measured.

The largest number of cores is the one up to which each is used to seven tenths: by Amdahl's law the efficiency of c
cores is 1 / ((1 − f)·c + f), where f is the share of the work that runs in parallel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from app.domain.sizing.features import MOST, Features
from app.domain.sizing.grid import MOST_MIB, cores_up

START_SECONDS = 0.5
BASE_MIB = 48.0
"""Of a run beyond the libraries that it shares with the fork server."""
TABLES = 4.0
"""Copies of the table that a run makes beside what its algorithm needs."""
TORCH_MIB = 1_200.0
"""Of a run with torch, which no fork server loads."""
NODE_BYTES = 96.0
"""Of a node of a tree."""
EFFICIENT = 0.7
MOST_CORES = 64
GPU_FLOPS, CORE_FLOPS, REACHED = 1e13, 5e10, 0.3
"""What a GPU and a core could do in a second, and the share of it that a training reaches."""
ACTIVATED_BYTES = 4 * (16 + 32) * 2
"""That two convolutions keep of each column of a row, forth and back."""
_MIB = float(1 << 20)
Formula = Callable[[Features], float]


@dataclass(frozen=True, slots=True)
class Prior:
    """What a run should need: MiB, cores at which it still runs efficiently, and seconds on one core, of which `serial`
    are not shared among cores. `gpu_memory_mib`: a hint, of networks on a GPU."""

    memory_mib: float
    cores: float
    seconds: float
    serial: float
    gpu_memory_mib: float | None = None

    def seconds_on(self, cores: float) -> float:
        """On so many cores."""
        return self.serial + (self.seconds - self.serial) / max(1.0, cores)


NO_PRIOR = Prior(1.0, 1.0, 1.0, 1.0)
"""Of what nothing is known: the residuals are then the logarithms of what was used."""


@dataclass(frozen=True, slots=True)
class Row:
    """Of the table. `work` in arbitrary units, of which one takes `k` seconds; `memory` in MiB beyond `base`;
    `parallel`: the share of the work that runs in parallel."""

    work: Formula
    k: float
    memory: Formula
    parallel: float = 0.0
    base: float = BASE_MIB


def _table(f: Features) -> float:
    """MiB of the features as doubles."""
    return 8 * f.rows * f.columns / _MIB


def _depth_share(f: Features) -> float:
    deepest = math.log2(max(2.0, f.rows))
    return min(1.0, f.depth / deepest) if f.depth else 1.0


def _nodes(f: Features) -> float:
    """Of one tree."""
    most = 2 * f.rows
    return min(2.0 ** (f.depth + 1), most) if 0 < f.depth < math.log2(MOST) else most


def _looked_at(f: Features) -> float:
    """Columns that a split of a forest looks at: the square root of all, but all for a continuous target."""
    return f.columns if f.continuous else math.sqrt(f.columns)


def _forest(f: Features) -> float:
    return f.trees * f.rows * math.log2(max(2.0, f.rows)) * _looked_at(f) * _depth_share(f)


def _tree(f: Features) -> float:
    return f.rows * math.log2(max(2.0, f.rows)) * f.columns * _depth_share(f)


def _trees_memory(f: Features) -> float:
    return 3 * _table(f) + f.trees * _nodes(f) * NODE_BYTES / _MIB


def _boosted(f: Features) -> float:
    return f.trees * f.rows * f.columns * (f.depth or math.log2(max(2.0, f.rows)))


def _histograms(f: Features) -> float:
    return f.trees * (f.rows * f.columns + 7_905 * f.columns)


def _kernel(f: Features) -> float:
    return f.rows**2 * f.columns * max(1.0, f.rows / 50_000)


def _kernel_memory(f: Features) -> float:
    return 3 * _table(f) + min(200.0, 8 * f.rows**2 / _MIB)


def _linear(f: Features) -> float:
    return f.rows * f.columns * f.iterations / 200


def _neighbours(f: Features) -> float:
    return f.queries * f.rows * f.columns


def _dense(f: Features) -> float:
    return f.epochs * (f.rows * f.weights + 3e5 * f.rows / max(1.0, f.batch))


def _dense_memory(f: Features) -> float:
    return 3 * _table(f) + 32 * f.weights / _MIB


def _convolution(f: Features) -> float:
    return f.epochs * f.rows * 6 * f.weights / (REACHED * (GPU_FLOPS if f.gpu else CORE_FLOPS))


TABLE: Mapping[str, Row] = MappingProxyType(
    {
        "random_forest": Row(_forest, 1.0e-7, _trees_memory, 0.95),
        "decision_tree": Row(_tree, 1.0e-7, _trees_memory),
        "gradient_boosting": Row(_boosted, 1.1e-7, _trees_memory),
        "hist_gradient_boosting": Row(_histograms, 3.6e-8, _trees_memory, 0.7),
        "svm": Row(_kernel, 1.4e-9, _kernel_memory),
        "logistic_regression": Row(_linear, 4e-8, lambda f: 3 * _table(f)),
        "knn": Row(_neighbours, 3e-9, lambda f: 2 * _table(f), 0.7),
        "dnn": Row(_dense, 9e-10, _dense_memory, 0.7),
        "cnn": Row(_convolution, 1.0, lambda f: 3 * _table(f), 0.0, TORCH_MIB),
    }
)
"""Source: the design, scheduling section 6."""


def prior_of(features: Features) -> Prior | None:
    """What a training with these features should need; None for an algorithm that the table has not."""
    row = TABLE.get(features.algorithm)
    if row is None:
        return None
    work = row.k * row.work(features) * features.folds
    cores = efficient_cores(row.parallel)
    if features.trees and row.parallel:
        cores = min(cores, features.trees)
    serial = START_SECONDS + (1 - row.parallel) * work
    memory = min(MOST_MIB, row.base + TABLES * _table(features) + row.memory(features))
    return Prior(memory, cores, START_SECONDS + work, serial, _gpu_memory(features))


@cache
def efficient_cores(parallel: float) -> float:
    """The largest number of cores on the grid up to which each is used to seven tenths."""
    most = 1.0
    for cores in range(2, MOST_CORES + 1):
        if cores_up(cores) == cores * 1_000 and 1 / ((1 - parallel) * cores + parallel) >= EFFICIENT:
            most = float(cores)
    return most


def _gpu_memory(f: Features) -> float | None:
    """16 bytes a weight, and what a batch activates."""
    if f.algorithm != "cnn" or not f.gpu:
        return None
    return (16 * f.weights + f.batch * ACTIVATED_BYTES * f.columns) / _MIB
