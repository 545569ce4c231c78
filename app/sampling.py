"""The model-based search: Optuna's TPE behind `ports.Sampler`, and its fANOVA.

Optuna keeps nothing for us: each question builds a study in memory from the trials that are recorded, in their order,
and throws it away; so any process may ask, and asking again gives the same. Every dimension of numbers goes in as a
range without steps, in which each point has a cell of its own, so that no value is rounded on the way: the mass of each
cell under each of a thousand trials would be two thirds of what a question costs.

Optuna is imported with the first question (it takes more than a second), in a thread, as is its asking. The importance
of parameters takes seconds of Python and a scikit-learn in memory, so it is worked out by a process of its own: this
module run as a program, with the question as JSON on its standard input and the answer on its output.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Mapping, Sequence
from copy import copy
from datetime import UTC, datetime
from importlib import import_module
from subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from app.domain.json import Json
from app.domain.sweeps.definition import space_from, space_json
from app.domain.sweeps.space import Dimension, Points, Space, Values, key
from app.domain.sweeps.trials import FAILURES, Outcome, Trial, TrialEnd

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

log = structlog.get_logger()
NEWEST = 1_000
"""Trials that a question for the next looks at."""
EXPLAINED, TREES, LONGEST = 500, 64, 60.0
"""Trials and trees from which the importance is worked out, and for how many seconds at most."""

REMEMBERED = 4 * NEWEST
"""Trials that are kept as Optuna has them, since to make them takes as long as to ask."""
KEPT, MOST_WAITING = 100, 16
"""Answers about importance that are remembered, and those that may be in the making at once."""
PATIENCE = 2.0
"""Seconds for which whoever asks for the importance waits until it is worked out."""

Shares = Mapping[str, float]
"""The part of each parameter in what trials differ by."""
Told = dict[tuple[str, int, int, bool], "FrozenTrial"]
"""Trials as Optuna has them, by sweep, number, version, and whether their ends were unknown."""


class OptunaSampler:
    """`Sampler`. One question of a kind at a time, since each holds the interpreter for most of its time."""

    def __init__(self) -> None:
        self._asking, self._explaining = asyncio.Lock(), asyncio.Lock()
        self._explained: dict[tuple[str, int], asyncio.Task[Shares | None]] = {}
        self._told: Told = {}

    async def suggest(self, space: Space, past: Sequence[Trial], *, maximize: bool, seed: int) -> Values:
        async with self._asking:
            if len(self._told) > REMEMBERED:
                self._told = {}
            return await asyncio.to_thread(_suggest, space, past[-NEWEST:], maximize, seed, self._told)

    async def importance(self, space: Space, ended: Sequence[Trial]) -> Shares | None:
        """As many trials of one sweep are explained once. Who asks meanwhile is told what fewer of them have said."""
        sweep, count = ended[0].sweep_id, len(ended)
        explaining = self._explained.get((sweep, count)) or self._explain(space, ended)
        if explaining is not None:
            await asyncio.wait({explaining}, timeout=PATIENCE)
        known = {n: task for (of, n), task in self._explained.items() if of == sweep and task.done()}
        return known[max(known)].result() if known else None

    def _explain(self, space: Space, ended: Sequence[Trial]) -> asyncio.Task[Shares | None] | None:
        """None while too many are in the making."""
        if sum(not task.done() for task in self._explained.values()) >= MOST_WAITING:
            return None
        while len(self._explained) >= KEPT:
            del self._explained[next(asked for asked, task in self._explained.items() if task.done())]
        task = asyncio.create_task(self._explain_in_turn(space, ended), name="importance")
        self._explained[ended[0].sweep_id, len(ended)] = task
        return task

    async def _explain_in_turn(self, space: Space, ended: Sequence[Trial]) -> Shares | None:
        async with self._explaining:
            try:
                return await _explained(space, ended[-EXPLAINED:])
            except OSError as error:
                log.warning("importance.failed", trials=len(ended), error=repr(error))
                return None


async def _explained(space: Space, ended: Sequence[Trial]) -> Shares | None:
    """As a process of its own says; None where it fails, or takes too long."""
    told = [[list(trial.values.items()), trial.end.value] for trial in ended if trial.end is not None]
    command = (sys.executable, "-m", __name__)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    try:
        async with asyncio.timeout(LONGEST):
            answer, _ = await process.communicate(orjson.dumps({"space": space_json(space), "trials": told}))
    except TimeoutError:
        log.warning("importance.too_slow", trials=len(ended), seconds=LONGEST)
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        log.warning("importance.failed", trials=len(ended), status=process.returncode)
        return None
    shares: Shares | None = orjson.loads(answer)
    return shares


def explain(question: bytes) -> bytes:
    """What the process of its own does: the importance of each parameter, null where there is no scikit-learn."""
    asked = orjson.loads(question)
    at = datetime(2000, 1, 1, tzinfo=UTC)
    trials = [
        Trial("", number, "", dict(values), at, end=TrialEnd(Outcome.COMPLETED, at, value))
        for number, (values, value) in enumerate(asked["trials"])
    ]
    return orjson.dumps(_importance(space_from(asked["space"]), trials))


def _suggest(space: Space, past: Sequence[Trial], maximize: bool, seed: int, told: Told) -> Values:
    library = _optuna()
    conditional = any(d.when for d in space.dimensions)
    sampler = library.samplers.TPESampler(multivariate=True, constant_liar=True, group=conditional, seed=seed)
    trial = _study(library, space, past, told, maximize=maximize, sampler=sampler).ask()
    values: dict[str, Json] = {}
    for dimension in space.dimensions:
        if dimension.active(values):
            values[dimension.name] = _asked(trial, dimension)
    return values


def _importance(space: Space, ended: Sequence[Trial]) -> Shares | None:
    library = _optuna()
    try:
        evaluator = library.importance.FanovaImportanceEvaluator(n_trees=TREES, seed=0)
    except ImportError:
        return None
    shares = library.importance.get_param_importances(_study(library, space, ended, {}), evaluator=evaluator)
    return {name: float(share) for name, share in shares.items()}


def _optuna() -> Any:
    """Optuna, without its log on the standard error and its warnings of what it calls experimental."""
    library = import_module("optuna")
    library.logging.set_verbosity(library.logging.ERROR)
    warnings.filterwarnings("ignore", category=library.exceptions.ExperimentalWarning)
    return library


def _study(
    library: Any, space: Space, trials: Sequence[Trial], told: Told, *, maximize: bool = False, sampler: Any = None
) -> optuna.Study:
    """A study of these trials. `told`: those of them that were made before, to which the others are added. They go
    straight into its storage: a study would check each once more."""
    storage = library.storages.InMemoryStorage()
    direction = "maximize" if maximize else "minimize"
    study: optuna.Study = library.create_study(storage=storage, direction=direction, sampler=sampler)
    number = storage.get_study_id_from_name(study.study_name)
    distributions = {d.name: _distribution(library, d) for d in space.dimensions}
    for trial in trials:
        known = trial.sweep_id, trial.number, trial.seq, trial.end is None
        if known not in told:
            told[known] = _told(library, space, trial, distributions)
        storage.create_new_trial(number, told[known])
    return study


def _told(library: Any, space: Space, trial: Trial, known: Mapping[str, BaseDistribution]) -> FrozenTrial:
    """A trial as Optuna has it. One without an end runs, one that ended without a value failed."""
    state, create = library.trial.TrialState, library.trial.create_trial
    inside = {d.name: _inside(d, trial.values[d.name]) for d in space.dimensions if d.name in trial.values}
    fields: dict[str, Any] = {"params": inside, "distributions": {name: known[name] for name in inside}}
    told: FrozenTrial
    if trial.end is None:
        told = create(state=state.RUNNING, **fields)
    elif trial.end.outcome is Outcome.PRUNED and trial.rungs:
        told = create(state=state.PRUNED, intermediate_values=dict(trial.rungs), **fields)
    elif trial.end.outcome not in FAILURES and trial.end.value is not None:
        told = create(state=state.COMPLETE, value=trial.end.value, **fields)
    else:
        told = create(state=state.FAIL, **fields)
    return _shallow(told)


def _shallow(told: FrozenTrial) -> FrozenTrial:
    """One that is copied into a study as it is: nobody changes what is inside, and to copy that too, a thousand times,
    takes as long as the whole question."""
    told.__dict__["__deepcopy__"] = lambda _memo: copy(told)
    return told


def _distribution(library: Any, d: Dimension) -> BaseDistribution:
    of = library.distributions
    made: BaseDistribution
    if d.kind == "categorical":
        made = of.CategoricalDistribution(tuple(range(len(d.values))))
    else:
        low, high, log_ = _range(d)
        made = of.FloatDistribution(low, high, log=log_)
    return made


def _range(d: Dimension) -> tuple[float, float, bool]:
    """What the model has of a dimension of numbers: low, high, whether it is drawn in its logarithm. A whole number
    that is has the cell around it; any other point that around its place among the points."""
    if d.points is None:
        return d.low, d.high, d.logarithmic
    return (d.low - 0.5, d.high + 0.5, True) if _in_logarithm(d) else (-0.5, len(d.points) - 0.5, False)


def _in_logarithm(d: Dimension) -> bool:
    return d.kind == "int" and d.log


def _asked(trial: optuna.Trial, d: Dimension) -> Json:
    if d.kind == "categorical":
        return d.values[trial.suggest_categorical(d.name, tuple(range(len(d.values))))]
    low, high, log_ = _range(d)
    number = trial.suggest_float(d.name, low, high, log=log_)
    if d.points is None:
        return d.within(number)
    if _in_logarithm(d):
        return min(int(d.high), max(int(d.low), round(number)))
    return d.points[min(len(d.points) - 1, max(0, round(number)))]


def _inside(d: Dimension, value: Json) -> Json:
    """The value as Optuna has it."""
    if d.points is None or _in_logarithm(d):
        return value
    if isinstance(d.points, Points):
        return d.points.number_of(value)
    if isinstance(d.points, range):
        return d.points.index(value)
    return next(n for n, each in enumerate(d.values) if key(each) == key(value))


if __name__ == "__main__":
    sys.stdout.buffer.write(explain(sys.stdin.buffer.read()))
