"""A sweep as it is asked for, and the sweep that it becomes: what was left out filled in, all faults told at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from app.domain.errors import FieldError, Invalid
from app.domain.json import Json
from app.domain.nodes import Node, NodeState, matches
from app.domain.resources import Vector
from app.domain.secrets import without_secrets
from app.domain.specification import JobRequest, Specification, SubmitPolicy, specify
from app.domain.sweeps.asha import EarlyStopping
from app.domain.sweeps.checks import corners, example, space_errors, sweep_errors
from app.domain.sweeps.definition import Definition
from app.domain.sweeps.space import Dimension, Space, Values
from app.domain.sweeps.sweep import MOST_TRIALS, Direction, Strategy, Sweep
from app.domain.templates import Template, canonical_parameters

PATH = "sweep"
WIDEST, AHEAD = 8, 2
"""Trials at once where nothing is said: at most so many, and so many more than find room at once."""
MOST_PARALLEL = 1_000
EPOCHS = ("max_epochs", "epochs")
FIRST_RUNG = 27
"""Three halvings by three before the last epoch."""


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """`request`: that of every trial, but for what is searched. None means: not said. `min_step`: of early stopping
    by `eta`; `reproducible`: whether a search that learns does so from what the seed decides alone."""

    request: JobRequest
    space: tuple[Dimension, ...]
    strategy: Strategy
    objective: str
    direction: Direction
    max_trials: int | None = None
    max_parallel: int | None = None
    seed: int = 0
    reproducible: bool = False
    goal: float | None = None
    eta: int | None = None
    min_step: int | None = None


def checked_space(asked: SweepRequest) -> Space:
    """The space in order. Raises Invalid with all that is wrong with it and with the plain fields."""
    errors = space_errors(asked.space) + list(_plain_errors(asked))
    if errors:
        raise Invalid(_below(errors))
    return Space.of(asked.space)


def first_values(space: Space) -> Values:
    """An assignment to plan a trial by."""
    return example(space, space.dimensions[0].name) or {}


def define(asked: SweepRequest, space: Space, trial: Specification, policy: SubmitPolicy, room: int) -> Definition:
    """The whole sweep. `trial`: one of it, planned; `room`: how many such trials find a place now. Raises Invalid for
    values that the template does not take, and for a strategy or a number of trials that the space does not allow."""
    most = asked.max_trials or min(space.size(MOST_TRIALS), MOST_TRIALS)
    sweep = Sweep(
        space=space,
        strategy=asked.strategy,
        objective=asked.objective,
        direction=asked.direction,
        max_trials=most,
        max_parallel=asked.max_parallel or min(WIDEST, room + AHEAD, most),
        seed=asked.seed,
        lag=_lag(asked),
        goal=asked.goal,
        early_stopping=_early_stopping(asked, trial.parameters),
    )
    definition = Definition(sweep, asked.request, trial.template.version)
    errors = [*sweep_errors(sweep), *_value_errors(definition, trial.template, policy)]
    if errors:
        raise Invalid(_below(errors))
    return definition


def hide_secrets(definition: Definition, template: Template) -> tuple[Definition, dict[str, str]]:
    """The definition as it is kept, and the secrets that were given with it, which are stored apart."""
    given = canonical_parameters(template, definition.request.parameters)
    secrets = {name: given[name] for name in template.schema.secrets if isinstance(given.get(name), str)}
    request = replace(definition.request, parameters=dict(without_secrets(given, secrets)))
    return replace(definition, request=request, secrets=tuple(secrets)), secrets


def at_fault(invalid: Invalid, space: Space) -> Invalid:
    """What is wrong with a planned trial, told by where it was said: in the space, or beside it."""
    return Invalid((replace(e, path=_said_at(e.path, space)) for e in invalid.errors), invalid.code)


def room_for(vector: Vector, selector: Mapping[str, str], nodes: Iterable[Node], slots: int | None) -> int:
    """How many jobs of this size find a place now. `slots`: how many jobs the cluster may run at once, None: any."""
    taken, room = 0, 0
    for node in nodes:
        taken += len(node.allocations)
        if node.state is NodeState.READY and matches(node.labels, selector):
            room += vector.times_in(node.free)
    return room if slots is None else max(0, min(room, slots - taken))


def _plain_errors(asked: SweepRequest) -> Iterator[FieldError]:
    if not asked.objective.strip() or not asked.objective.isprintable():
        yield FieldError("objective", "must be the name of a metric that trials report, such as accuracy")
    elif set(asked.objective) & set(".$"):
        yield FieldError("objective", "metrics are kept with _ for . and $; name it so")
    if asked.max_trials is None and asked.strategy is not Strategy.GRID:
        yield FieldError("max_trials", "is required; only a grid has an end of its own")
    if asked.max_trials is not None and asked.max_trials < 1:
        yield FieldError("max_trials", f"must be at least 1, got {asked.max_trials}")
    if asked.max_parallel is not None and not 1 <= asked.max_parallel <= MOST_PARALLEL:
        yield FieldError("max_parallel", f"must be from 1 to {MOST_PARALLEL:,}, got {asked.max_parallel}")
    if not 0 <= asked.seed < 1 << 63:
        yield FieldError("seed", f"must be from 0 to 2^63 - 1, got {asked.seed}")
    if asked.eta is not None and not 2 <= asked.eta <= 100:
        yield FieldError("early_stopping.eta", f"must be from 2 to 100, got {asked.eta}")
    if asked.min_step is not None and not 1 <= asked.min_step <= 1 << 31:
        yield FieldError("early_stopping.min_step", f"must be from 1 to 2^31, got {asked.min_step}")


def _lag(asked: SweepRequest) -> int | None:
    """As short as leaves no place empty while trials last equally long; what finds room now must not decide it."""
    return (asked.max_parallel or WIDEST) if asked.reproducible and asked.strategy is Strategy.TPE else None


def _early_stopping(asked: SweepRequest, parameters: Mapping[str, Json]) -> EarlyStopping | None:
    if asked.eta is None:
        return None
    epochs = next((parameters[name] for name in EPOCHS if isinstance(parameters.get(name), int)), 0)
    return EarlyStopping(asked.eta, asked.min_step or max(1, epochs // FIRST_RUNG))


def _value_errors(definition: Definition, template: Template, policy: SubmitPolicy) -> Iterator[FieldError]:
    """Values at the corners of the space that the template does not take; secrets, which are nothing to search."""
    space = definition.sweep.space
    for dimension in space.dimensions:
        if dimension.name.partition(".")[0] in template.schema.secrets:
            yield FieldError(f"space.{dimension.name}", "is secret, and trials are shown; give it under parameters")
            continue
        for place, value in corners(dimension):
            request = definition.request_for(example(space, dimension.name, {dimension.name: value}) or {})
            for error in _refusals(request, template, policy):
                yield FieldError(f"space.{dimension.name}.{place}", error.message, error.nearest)


def _refusals(request: JobRequest, template: Template, policy: SubmitPolicy) -> tuple[FieldError, ...]:
    try:
        specify(request, template, policy)
    except Invalid as invalid:
        return invalid.errors
    return ()


def _below(errors: Iterable[FieldError]) -> list[FieldError]:
    return [replace(error, path=f"{PATH}.{error.path}") for error in errors]


def _said_at(path: str, space: Space) -> str:
    """`parameters.C` of a trial is `sweep.space.C` where that is searched."""
    name = path.removeprefix("parameters.")
    searched = (d.name for d in space.dimensions if name == d.name or name.startswith((f"{d.name}.", f"{d.name}[")))
    found = next(searched, None) if name != path else None
    return f"{PATH}.{path}" if found is None else f"{PATH}.space.{name}"
