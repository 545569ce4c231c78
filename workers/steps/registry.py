"""Where a step's code is found: this table has the built-in ones, the entry-point group `tensorfleet.steps` all others.

The table names modules instead of importing them: a process that runs a command or a `noop` never loads scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from app.domain.json import Json
from app.domain.nearest import unknown_name
from app.domain.step_catalog import INLINE_SAFE_STEPS
from workers.steps.context import StepContext
from workers.steps.failures import PermanentFailure

StepFunction = Callable[[StepContext], Mapping[str, Json] | None]
GROUP = "tensorfleet.steps"


@dataclass(frozen=True, slots=True)
class StepInfo:
    """A built-in step: the module and function that do it, and one sentence about what that is."""

    module: str
    function: str
    summary: str

    def load(self) -> StepFunction:
        """Import the code. Raises ImportError when the extra `ml` is not installed."""
        found: StepFunction = getattr(import_module(self.module), self.function)
        return found


_LIGHT, _ML = "workers.steps.light", "workers.steps.ml"
BUILTIN_STEPS: Mapping[str, StepInfo] = {
    "data_preparation": StepInfo(f"{_ML}.preparation", "data_preparation", "Read, check and split a data set."),
    "data_preprocessing": StepInfo(f"{_ML}.preparation", "data_preprocessing", "Transform a data set and keep it."),
    "model_training": StepInfo(f"{_ML}.training", "model_training", "Train a model and judge it on held-out rows."),
    "model_evaluation": StepInfo(f"{_ML}.evaluation", "model_evaluation", "Judge a model on rows it has not seen."),
    "model_storage": StepInfo(f"{_ML}.evaluation", "model_storage", "Store the model and its report."),
    "hyperparameter_trial": StepInfo(f"{_ML}.training", "hyperparameter_trial", "One trial of a search."),
    "batch_inference": StepInfo(f"{_ML}.inference", "batch_inference", "Predict every row of a data set."),
    "sleep": StepInfo(_LIGHT, "sleep", "Wait."),
    "noop": StepInfo(_LIGHT, "noop", "Do nothing."),
}


def builtin_function(step: str) -> StepFunction:
    """The code of a built-in step. Raises PermanentFailure for an unknown name or when its libraries are missing."""
    if step not in BUILTIN_STEPS:
        raise PermanentFailure(unknown_name("built-in step", step, BUILTIN_STEPS)[0])
    try:
        return BUILTIN_STEPS[step].load()
    except ModuleNotFoundError as error:
        message = f"step {step} needs {error.name}, which this node has not: install tensorfleet[ml] on it"
        raise PermanentFailure(message) from error


@cache
def registered_functions() -> Mapping[str, EntryPoint]:
    """The steps that installed packages offer, by name. Read once a process; nothing is imported."""
    return {point.name: point for point in entry_points(group=GROUP)}


def registered_function(step: str) -> StepFunction:
    """The code of a step of one's own. Raises PermanentFailure when no package here offers it, or it does not load."""
    points = registered_functions()
    if step not in points:
        message = unknown_name("step", step, [*BUILTIN_STEPS, *points])[0]
        raise PermanentFailure(
            f"{message}; a step of one's own is offered by a package on this node, in the entry-point group {GROUP}"
        )
    try:
        found: StepFunction = points[step].load()
    except (ImportError, AttributeError) as error:
        raise PermanentFailure(f"step {step}: {points[step].value} cannot be loaded on this node: {error}") from error
    return found


def is_light(step: str, kind: str) -> bool:
    """Whether a step needs no library for machine learning: a command, or a built-in one that only waits."""
    return kind == "command" or (kind == "builtin" and step in BUILTIN_STEPS and BUILTIN_STEPS[step].module == _LIGHT)


def is_inline_safe(step: str, kind: str) -> bool:
    """Whether a step may run in the warm process: `noop`, `sleep`, and functions that say `inline_safe = True`."""
    if kind == "builtin":
        return step in INLINE_SAFE_STEPS
    return kind == "function" and bool(getattr(registered_function(step), "inline_safe", False))
