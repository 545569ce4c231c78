"""Evaluate the expressions of steps: conditions and fan-outs when a step may begin, parameters when its job is made.

Whatever goes wrong with an expression is a value (`Fault`), which fails its step; only a store that is away is raised.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.expressions import (
    BadValue,
    Evaluation,
    Expression,
    Fault,
    Value,
    embedded,
    filled,
    steps_mentioned,
)
from app.domain.json import Json
from app.domain.workflows.advance import Facts
from app.domain.workflows.asked import parameters_of
from app.domain.workflows.definition import StepDefinition
from app.domain.workflows.secrets import revealed
from app.domain.workflows.state import JobRef, Workflow
from app.domain.workflows.typing import bare, variables_of
from app.operations.workflows.loading import Loaded
from app.operations.workflows.outputs import step_outputs
from app.operations.workflows.secrets import values_of
from app.services import Services


@dataclass(frozen=True, slots=True)
class Scope:
    """What expressions speak of. `outputs`: of the steps that some of them name."""

    workflow: Workflow
    outputs: Mapping[str, Json] = field(default_factory=dict)

    def values(self, variables: Iterable[str], item: Json = None, index: int | None = None) -> dict[str, Json]:
        """The values of these variables."""
        out: dict[str, Json] = {}
        for name in variables:
            root, _, rest = name.partition(".")
            if root == "inputs":
                out[name] = self.workflow.inputs.get(rest)
            elif root == "steps":
                step_id, _, part = rest.rpartition(".")
                state = self.workflow.step(step_id)
                out[name] = state.status.value if part == "status" else self.outputs.get(step_id, {})
            else:
                out[name] = item if name == "item" else index
        return out


async def scope_of(services: Services, workflow: Workflow, texts: Iterable[str]) -> Scope:
    """The scope for these expressions."""
    named = {step_id for text in texts for step_id in steps_mentioned(text)}
    return Scope(workflow, await step_outputs(services, workflow, named) if named else {})


async def facts_of(services: Services, loaded: Loaded, asked: Sequence[str]) -> dict[str, Facts]:
    """What is needed to know whether these steps run, and over how many items."""
    steps = [loaded.pinned.steps[step_id] for step_id in asked]
    wanted: list[tuple[StepDefinition, str, str]] = []
    for step in steps:
        if step.when is not None:
            wanted.append((step, "when", bare(step.when)))
        if isinstance(step.for_each, str):
            wanted.append((step, "for_each", bare(step.for_each)))
    scope = await scope_of(services, loaded.workflow, [text for *_, text in wanted])
    evaluations = [_evaluation(loaded, scope, step, text) for step, _, text in wanted]
    found = await services.expressions.evaluate(evaluations, loaded.workflow.tenant)
    values = {(step.step_id, part): value for (step, part, _), value in zip(wanted, found, strict=True)}
    return {s.step_id: _facts(values.get((s.step_id, "when")), values.get((s.step_id, "for_each"))) for s in steps}


def _evaluation(loaded: Loaded, scope: Scope, step: StepDefinition, text: str) -> Evaluation:
    variables = variables_of(loaded.pinned, step, text, of_item=False)
    return Evaluation(Expression(text, variables), scope.values(variables))


def _facts(when: Value | Fault | None, items: Value | Fault | None) -> Facts:
    return Facts(_condition(when), _count(items))


def _condition(found: Value | Fault | None) -> bool | Fault:
    if found is None:
        return True
    if isinstance(found, Fault):
        return Fault(f"the condition cannot be evaluated: {found.message}")
    if isinstance(found.value, bool):
        return found.value
    return Fault(f"the condition must give true or false, and gave {str(found.value)[:80]}")


def _count(found: Value | Fault | None) -> int | Fault | None:
    if found is None:
        return None
    if isinstance(found, Fault):
        return Fault(f"for_each cannot be evaluated: {found.message}")
    if isinstance(found.value, list):
        return len(found.value)
    return Fault(f"for_each must give a list, and gave {str(found.value)[:80]}")


async def rendered(services: Services, loaded: Loaded, refs: Sequence[JobRef]) -> list[dict[str, Json] | Fault]:
    """The parameters of each of these jobs, expressions filled in, secrets in clear: no expression sees these."""
    workflow, pinned = loaded
    raw = [parameters_of(pinned.steps[r.step_id], workflow.step(r.step_id)) for r in refs]
    values = await values_of(services, workflow.sealed)
    secrets = [revealed(pinned.definition, r.step_id, of, values) for r, of in zip(refs, raw, strict=True)]
    open_ = [{n: v for n, v in of.items() if n not in apart} for of, apart in zip(raw, secrets, strict=True)]
    filled_in = await _evaluated(services, loaded, refs, open_)
    return [_with_secrets(of, apart) for of, apart in zip(filled_in, secrets, strict=True)]


def _with_secrets(parameters: dict[str, Json] | Fault, secrets: Mapping[str, str | None]) -> dict[str, Json] | Fault:
    if gone := [name for name, value in secrets.items() if value is None]:
        return Fault(f"parameters.{gone[0]}: the secret is not stored any more; run the workflow again with it")
    return parameters if isinstance(parameters, Fault) else {**parameters, **secrets}


async def _evaluated(
    services: Services, loaded: Loaded, refs: Sequence[JobRef], raw: Sequence[dict[str, Json]]
) -> list[dict[str, Json] | Fault]:
    workflow, pinned = loaded
    texts = [list(dict.fromkeys(text for _, text in embedded(parameters))) for parameters in raw]
    lists = {pinned.steps[r.step_id].for_each for r in refs if r.item is not None}
    scope = await scope_of(
        services, workflow, [*(t for of in texts for t in of), *(x for x in lists if isinstance(x, str))]
    )
    items = {
        step_id: await _items(services, loaded, scope, step_id)
        for step_id in {r.step_id for r in refs if r.item is not None}
    }
    wanted: list[Evaluation] = []
    for ref, of in zip(refs, texts, strict=True):
        wanted += [_with_item(loaded, scope, ref, text, items) for text in of]
    found = iter(await services.expressions.evaluate(wanted, workflow.tenant) if wanted else [])
    values = [{text: next(found) for text in of} for of in texts]
    return [
        _fill(parameters, of) if _has_its_item(ref, items) else Fault("for_each does not give this item any more")
        for ref, parameters, of in zip(refs, raw, values, strict=True)
    ]


def _has_its_item(ref: JobRef, items: Mapping[str, Sequence[Json]]) -> bool:
    return ref.item is None or ref.item < len(items.get(ref.step_id, ()))


async def _items(services: Services, loaded: Loaded, scope: Scope, step_id: str) -> Sequence[Json]:
    """The items of a step, evaluated again from the same outputs: nothing that runs can have changed them. None of
    them where those outputs are gone."""
    step = loaded.pinned.steps[step_id]
    if not isinstance(step.for_each, str):
        return step.for_each or ()
    wanted = _evaluation(loaded, scope, step, bare(step.for_each))
    [found] = await services.expressions.evaluate([wanted], loaded.workflow.tenant)
    return found.value if isinstance(found, Value) and isinstance(found.value, list) else ()


def _with_item(loaded: Loaded, scope: Scope, ref: JobRef, text: str, items: Mapping[str, Sequence[Json]]) -> Evaluation:
    variables = variables_of(loaded.pinned, loaded.pinned.steps[ref.step_id], text, of_item=ref.item is not None)
    of = items.get(ref.step_id, ())
    item = of[ref.item] if ref.item is not None and ref.item < len(of) else None
    return Evaluation(Expression(text, variables), scope.values(variables, item, ref.item))


def _fill(parameters: dict[str, Json], found: Mapping[str, Value | Fault]) -> dict[str, Json] | Fault:
    values: dict[str, Json] = {}
    for text, value in found.items():
        if isinstance(value, Fault):
            return Fault(f"${{{{ {text[:120]} }}}} cannot be evaluated: {value.message}")
        values[text] = value.value
    try:
        out: dict[str, Json] = filled(parameters, values)
    except BadValue as error:
        return Fault(f"a parameter cannot be filled in: {error}")
    return out
