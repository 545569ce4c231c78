"""Real fits of scikit-learn: drawn in different sizes, run by a real worker in processes of their own, measured by it.

Two sets: fits of every kind and size, by which the priors are judged, and fits of data large enough that their memory
matters, whose rows vary tenfold, by which the rules are. None of them was used to set a constant of the priors.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp, log
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd

from app.domain.sizing.features import Features, TableFacts, features_of
from app.domain.sizing.priors import prior_of
from bench import kit

PER_ALGORITHM, LARGE_PER_ALGORITHM = 12, 16
SEED = 2
"""The constants of the priors were set with fits of seed 1."""
SECONDS = (0.02, 12.0)
"""Work that a fit should take by its prior: long enough to be seen, short enough for many."""
MOST_MIB = 1_500.0
ROWS: Mapping[str, tuple[float, float]] = {
    "random_forest": (1e3, 2e5), "decision_tree": (5e3, 4e5), "gradient_boosting": (1e3, 2e5), "svm": (1e3, 3e4),
    "logistic_regression": (5e3, 5e5), "knn": (1e3, 6e4), "dnn": (1e3, 2e5),
}  # fmt: skip
COLUMNS = (4, 80)
LARGE_ROWS = 200_000
LARGE: Mapping[str, Mapping[str, Any]] = {
    "random_forest": {"n_estimators": 5, "max_depth": 8},
    "decision_tree": {"max_depth": 6},
    "gradient_boosting": {"n_estimators": 3},
    "logistic_regression": {},
    "dnn": {"max_epochs": 2, "batch_size": 1_000, "hyperparameters": {"hidden_layer_sizes": [16]}},
}


@dataclass(frozen=True, slots=True)
class Fit:
    """A fit that was made: its features as the service stored them, and what the worker measured (MiB, seconds)."""

    features: Mapping[str, Any]
    peak_mib: float
    seconds: float
    cpu_seconds: float

    @property
    def known(self) -> Features:
        return Features.from_parts(self.features)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A fit to be made."""

    rows: int
    columns: int
    parameters: Mapping[str, Any]


def drawn(seed: int = SEED, count: int = PER_ALGORITHM) -> list[Wanted]:
    """So many fits of each algorithm, in an order in which the algorithms alternate."""
    random = Random(seed)
    by_algorithm = [[_drawn(random, algorithm) for _ in range(count)] for algorithm in ROWS]
    return [wanted for each in zip(*by_algorithm, strict=True) for wanted in each]


def _drawn(random: Random, algorithm: str) -> Wanted:
    while True:
        rows, columns = round(_spread(random, *ROWS[algorithm])), round(_spread(random, *COLUMNS))
        parameters = {"algorithm": algorithm, **_shape(random, algorithm)}
        prior = prior_of(features_of(parameters, TableFacts(rows, columns)))
        assert prior is not None
        if SECONDS[0] <= prior.seconds - 2 <= SECONDS[1] and prior.memory_mib <= MOST_MIB:
            return Wanted(rows, columns, parameters)


def large(seed: int = SEED, count: int = LARGE_PER_ALGORITHM) -> list[Wanted]:
    """So many fits of each algorithm that is quick on much data; the rows of each vary tenfold."""
    random = Random(seed)
    by_algorithm = []
    for algorithm, parameters in LARGE.items():
        columns = random.randint(30, 50)
        sizes = [round(LARGE_ROWS * 10 ** random.uniform(-0.5, 0.5)) for _ in range(count)]
        by_algorithm.append([Wanted(rows, columns, {"algorithm": algorithm, **parameters}) for rows in sizes])
    return [wanted for each in zip(*by_algorithm, strict=True) for wanted in each]


def _shape(random: Random, algorithm: str) -> dict[str, Any]:
    match algorithm:
        case "random_forest":
            deep = {} if random.random() < 0.5 else {"max_depth": random.randint(4, 16)}
            return {"n_estimators": round(_spread(random, 10, 200)), **deep}
        case "gradient_boosting":
            return {"n_estimators": round(_spread(random, 10, 150)), "max_depth": random.randint(2, 5)}
        case "decision_tree":
            return {} if random.random() < 0.5 else {"max_depth": random.randint(4, 16)}
        case "dnn":
            layers = [round(_spread(random, 16, 256)) for _ in range(random.randint(1, 2))]
            return {"max_epochs": random.randint(3, 30), "hyperparameters": {"hidden_layer_sizes": layers}}
    return {}


def _spread(random: Random, low: float, high: float) -> float:
    return exp(random.uniform(log(low), log(high)))


def made(wanted: Sequence[Wanted], done: Sequence[Fit] = ()) -> Iterator[Fit]:
    """All of them, one after another, on one core each; those of the beginning that are `done` are not made again."""
    root = Path(tempfile.mkdtemp(prefix="bench-data-"))
    try:
        with kit.service(workers=1, DATA_ROOT=str(root), MAX_CONCURRENT_JOBS="1") as (base, endpoints):
            yield from done
            for number in range(len(done), len(wanted)):
                job_id = _run(base, root, number, wanted[number])
                while (fit := asyncio.run(_measured(endpoints["mongodb_uri"], job_id))) is None:
                    time.sleep(0.05)
                yield fit
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _run(base: str, root: Path, number: int, wanted: Wanted) -> str:
    """The id of the job that made the fit."""
    name = f"fit-{number:03}.parquet"
    _table(wanted, number).to_parquet(root / name, index=False)
    body = {
        "template": "ml_training",
        "parameters": {**wanted.parameters, "dataset_name": name, "target_column": "y"},
        "resources": {"cpu_cores": 1, "memory_gb": 16},
        "retry_policy": {"max_attempts": 1},
    }
    job_id = str(kit.post(f"{base}/api/v1/jobs", body)["job_id"])
    while (job := kit.get(f"{base}/api/v1/jobs/{job_id}"))["status"] not in ("COMPLETED", "FAILED", "TIMEOUT"):
        time.sleep(0.05)
    (root / name).unlink()
    said = f"{number + 1:4} {wanted.parameters['algorithm']:20} {wanted.rows:7} x {wanted.columns:3} {job['status']}"
    print(said, flush=True)
    if job["status"] != "COMPLETED":
        raise RuntimeError(f"{wanted} {job['error']}")
    return job_id


def _table(wanted: Wanted, seed: int) -> pd.DataFrame:
    """Two classes, which a linear rule tells apart in nine cases of ten."""
    random = np.random.default_rng(seed)
    values = random.standard_normal((wanted.rows, wanted.columns))
    score = values @ random.standard_normal(wanted.columns) / np.sqrt(wanted.columns)
    frame = pd.DataFrame(values, columns=[f"x{n}" for n in range(wanted.columns)])
    frame["y"] = np.where(score + 0.4 * random.standard_normal(wanted.rows) > 0, "yes", "no")
    return frame


async def _measured(uri: str, job_id: str) -> Fit | None:
    """From the run's summary, which is written soon after the end of the run."""
    async with kit.database(uri) as database:
        run = await database["runs"].find_one({"job_id": job_id})
    return run and Fit(run["features"], run["peak_memory_mib"], run["run_seconds"], run["cpu_seconds"])


def plain(fits: Sequence[Fit]) -> list[dict[str, Any]]:
    """For the stored results."""
    return [asdict(fit) for fit in fits]


def by_algorithm(fits: Sequence[Fit]) -> Iterator[tuple[str, list[Fit]]]:
    """Those that there are."""
    for algorithm in ROWS:
        if own := [fit for fit in fits if fit.features["algorithm"] == algorithm]:
            yield algorithm, own
