"""What can be known of a job's parameters beyond their types, before anything runs: what its steps make of them.

A parameter is judged by the steps that read it: `dataset_name` of a template without built-in steps means whatever its
commands make of it. The same words refuse at submit and, for what only a node can know, in the job.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache

from app.domain.datasets import check_reference, check_target
from app.domain.environment import forbidden_env
from app.domain.errors import BadDataset, FieldError
from app.domain.hyperparameters import hyperparameter_errors
from app.domain.job import EXECUTORS, INLINE_STEPS
from app.domain.json import Json
from app.domain.nearest import unknown_name
from app.domain.placeholders import ROOTS_OF_A_RUN, placeholders, unresolved
from app.domain.step_catalog import NEEDS_MODEL, PREPROCESSING_STEPS, STEP_PARAMETERS, TRAINS_MODEL
from app.domain.templates import Step, Template

ARGUMENT_LIST = 'must be a list of strings such as ["python", "train.py"], never a shell line'
COMMAND = "command"
"""The step that takes its command from the parameters."""
OFFER = "no node offers a function of this name; start one that does, or give the step a `command`"
NO_MODEL = "is required: {job_id} or {job_id}/{artifact} of a job that has trained a model"


def read_by_steps(template: Template) -> frozenset[str]:
    """Names of the parameters that the built-in steps of the template read."""
    return _read_by(template.step_names)


@lru_cache(maxsize=256)
def _read_by(steps: tuple[str, ...]) -> frozenset[str]:
    return frozenset(p.name for step in steps for p in STEP_PARAMETERS.get(step, ()))


def template_errors(template: Template) -> Iterator[FieldError]:
    """Placeholders that no job of the template could fill, and variables that none may set."""
    names = {p.name for p in template.parameters}
    for n, step in enumerate(template.execution_steps):
        for name in forbidden_env(step.env):
            yield FieldError(f"execution_steps[{n}].env.{name}", "this variable may not be set for a command")
        for path in placeholders([step.command, dict(step.env)]):
            root, _, rest = path.partition(".")
            if root != "parameters" and root not in ROOTS_OF_A_RUN:
                message, near = unknown_name("placeholder", root[:80], ("parameters", *ROOTS_OF_A_RUN))
                yield FieldError(f"execution_steps[{n}]", message, near)
            elif root == "parameters" and (name := rest.partition(".")[0]) not in names:
                message, near = unknown_name("parameter", name[:80], names)
                yield FieldError(f"execution_steps[{n}]", f"${{{{ {path[:120]} }}}}: {message}", near)


def unknown_steps(steps: Iterable[Step], functions: Collection[str] | None) -> Iterator[tuple[int, str, str | None]]:
    """Place, message and nearest name of each step that nothing could run. `functions`: those that nodes offer; None
    where that is not known, and any name may be one."""
    if functions is None:
        return
    for n, step in enumerate(steps):
        if step.command is None and step.step not in STEP_PARAMETERS and step.step not in {COMMAND, *functions}:
            message, near = unknown_name("step", step.step, {*STEP_PARAMETERS, *functions})
            yield n, f"{message} ({OFFER})", near


def step_errors(
    template: Template, parameters: Mapping[str, Json], later: Collection[str] = ()
) -> Iterator[FieldError]:
    """Everything wrong with resolved parameters as the steps of the template read them. Of what hangs on parameters
    that come `later` nothing is said."""
    read = read_by_steps(template).difference(later)
    if "dataset_name" in read and "target_column" not in later:
        yield from _dataset_errors(parameters)
    if "preprocessing_steps" in read:
        yield from _preprocessing_errors(parameters.get("preprocessing_steps"))
    if "hyperparameters" in read and "algorithm" not in later:
        given = parameters.get("hyperparameters")
        yield from hyperparameter_errors(parameters.get("algorithm"), given, template.schema.by_name)
    if not parameters.get("model") and "model" not in later and _lacks_model(template):
        yield FieldError("parameters.model", NO_MODEL)
    if not later:
        yield from _command_errors(template, parameters)


def _dataset_errors(parameters: Mapping[str, Json]) -> Iterator[FieldError]:
    name, target = parameters.get("dataset_name"), parameters.get("target_column")
    if not isinstance(name, str):
        return
    try:
        check_reference(name)
        check_target(name, target if isinstance(target, str) else None)
    except BadDataset as error:
        yield from error.errors


def _preprocessing_errors(steps: Json) -> Iterator[FieldError]:
    for n, step in enumerate(steps or ()):
        if step not in PREPROCESSING_STEPS:
            message, near = unknown_name("step", str(step)[:80], PREPROCESSING_STEPS)
            yield FieldError(f"parameters.preprocessing_steps[{n}]", message, near)


def _lacks_model(template: Template) -> bool:
    """Whether a step needs a model that no step before it trains."""
    for step in template.step_names:
        if step in TRAINS_MODEL:
            return False
        if step in NEEDS_MODEL:
            return True
    return False


def _command_errors(template: Template, parameters: Mapping[str, Json]) -> Iterator[FieldError]:
    """What no command could be started with, from the template's steps and from the parameters of `command`."""
    roots = {"parameters": parameters}
    for step in template.execution_steps:
        if step.command is None and not step.env:
            continue
        for problem in unresolved([step.command, dict(step.env)], roots, ROOTS_OF_A_RUN):
            yield FieldError("parameters", f"step {step.step} asks for what is not given: {problem}", problem.nearest)
    if any(step.step == COMMAND and step.command is None for step in template.execution_steps):
        yield from _own_command_errors(parameters, roots)


def _own_command_errors(parameters: Mapping[str, Json], roots: Mapping[str, Json]) -> Iterator[FieldError]:
    """The command and environment that the template `command` takes as parameters."""
    command, env = parameters.get("command"), parameters.get("env")
    if isinstance(command, list) and (not command or not all(isinstance(a, str) for a in command)):
        yield FieldError("parameters.command", ARGUMENT_LIST)
    for problem in unresolved(command, roots, ROOTS_OF_A_RUN):
        yield FieldError("parameters.command", str(problem), problem.nearest)
    if not isinstance(env, Mapping):
        return
    for name in forbidden_env(env):
        yield FieldError(f"parameters.env.{name}", "this variable may not be set for a command")
    for name, value in env.items():
        if not isinstance(value, str):
            yield FieldError(f"parameters.env.{name}", 'must be text; write numbers and the like as "1"')
    for problem in unresolved(env, roots, ROOTS_OF_A_RUN):
        yield FieldError("parameters.env", str(problem), problem.nearest)


def executor_errors(executor: str, template: Template) -> Iterator[FieldError]:
    """An executor that is none, or that does not take the steps of the template."""
    if executor not in EXECUTORS:
        message, near = unknown_name("executor", executor, EXECUTORS)
        yield FieldError("executor", message, near)
    if executor == "inline":
        heavy = [s.step for s in template.execution_steps if s.step in STEP_PARAMETERS and s.step not in INLINE_STEPS]
        commands = [s.step for s in template.execution_steps if s.command is not None]
        for step in heavy + commands:
            yield FieldError("executor", f"inline takes only light steps, not {step}; use process")
