"""The steps of a workflow as a graph: who waits for whom. Immutable, made once for a definition.

Everything is iterative: a chain of ten thousand steps costs no stack.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

from app.domain.job import DependencyType


class Cycle(ValueError):
    """Steps wait for each other; `path` begins and ends with the same step."""

    def __init__(self, path: tuple[str, ...]) -> None:
        super().__init__(" → ".join(path))
        self.path = path


@dataclass(frozen=True)
class Graph:
    """`order`: parents before children. `parents` and `children` in the order of the definition."""

    parents: Mapping[str, tuple[str, ...]]
    types: Mapping[str, DependencyType]
    children: Mapping[str, tuple[str, ...]]
    order: tuple[str, ...]

    @classmethod
    def of(cls, parents: Mapping[str, tuple[str, ...]], types: Mapping[str, DependencyType]) -> Graph:
        """From the parents of each step; all of them are steps. Raises Cycle."""
        try:
            order = tuple(TopologicalSorter(parents).static_order())
        except CycleError as error:
            raise Cycle(tuple(reversed(error.args[1]))) from None
        children: dict[str, list[str]] = {step: [] for step in parents}
        for step, above in parents.items():
            for parent in above:
                children[parent].append(step)
        return cls(parents, types, {step: tuple(below) for step, below in children.items()}, order)

    @cached_property
    def last(self) -> tuple[str, ...]:
        """Steps for which no other waits."""
        return tuple(step for step in self.parents if not self.children[step])

    @cached_property
    def levels(self) -> Mapping[str, int]:
        """How far each step is from the beginning: the longest way. For drawing."""
        levels: dict[str, int] = {}
        for step in self.order:
            levels[step] = max((levels[parent] + 1 for parent in self.parents[step]), default=0)
        return levels

    @cached_property
    def _above(self) -> Mapping[str, int]:
        """All ancestors of each step, as bits at their places in `order`."""
        place = {step: 1 << n for n, step in enumerate(self.order)}
        above: dict[str, int] = {}
        for step in self.order:
            bits = 0
            for parent in self.parents[step]:
                bits |= above[parent] | place[parent]
            above[step] = bits
        return above

    @cached_property
    def _place(self) -> Mapping[str, int]:
        return {step: n for n, step in enumerate(self.order)}

    def is_before(self, ancestor: str, step: str) -> bool:
        """Whether a step is an ancestor of another."""
        return ancestor in self._place and bool(self._above[step] >> self._place[ancestor] & 1)

    def below(self, step: str) -> frozenset[str]:
        """The step and all its descendants."""
        found, todo = {step}, [step]
        while todo:
            for child in self.children[todo.pop()]:
                if child not in found:
                    found.add(child)
                    todo.append(child)
        return frozenset(found)

    def upwards(self, step: str) -> Iterator[tuple[str, ...]]:
        """The ancestors of a step, nearest first: one group for each distance, in the order of the definition."""
        seen = {step}
        level = deque(self.parents[step])
        while level:
            group = tuple(dict.fromkeys(each for each in level if each not in seen))
            seen.update(group)
            if group:
                yield group
            level = deque(parent for each in group for parent in self.parents[each])
