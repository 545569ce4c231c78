"""Names: always valid, stable, and different for siblings."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.naming import MAX_LENGTH, semantic_name, suffixed
from app.domain.siblings import Sibling, sibling_names

VALID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
values = st.one_of(st.integers(), st.floats(allow_nan=False), st.text(), st.booleans(), st.none())
parameters = st.dictionaries(
    st.text(min_size=1), st.one_of(values, st.lists(values), st.dictionaries(st.text(), values))
)


@given(st.text(), parameters)
def test_a_name_is_always_valid(template: str, given_parameters: dict[str, Any]) -> None:
    name = semantic_name(template, given_parameters, given_parameters)
    assert VALID.fullmatch(name), name


@given(parameters, st.randoms(use_true_random=False))
def test_a_name_does_not_depend_on_the_order_of_keys(given_parameters: dict[str, Any], chance: Any) -> None:
    first = semantic_name("ml_training", given_parameters, given_parameters)
    other = _shuffled(given_parameters, chance)
    assert semantic_name("ml_training", other, other) == first


def _shuffled(value: Any, chance: Any) -> Any:
    if not isinstance(value, dict):
        return value
    keys = list(value)
    chance.shuffle(keys)
    return {key: _shuffled(value[key], chance) for key in keys}


@given(
    st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)).filter(lambda pair: pair[0] != pair[1]),
    st.text(max_size=200),
)
def test_siblings_are_told_apart_even_when_the_name_is_cut(trees: tuple[int, int], dataset: str) -> None:
    names = {
        semantic_name("t", p, p)
        for n in trees
        for p in [{"dataset_name": dataset, "algorithm": "a" * 40, "hyperparameters": {"n_estimators": n}}]
    }
    assert len(names) == 2


@given(st.text(), st.integers(1, 10**9))
def test_suffixes_keep_the_length(text: str, repeat: int) -> None:
    name = suffixed(semantic_name(text, {}, {}), repeat)
    assert len(name) <= MAX_LENGTH
    assert VALID.fullmatch(name)
    assert repeat == 1 or name.endswith(f"-{repeat}")


def test_the_seeds_job_has_the_name_of_the_contract() -> None:
    asked = {
        "dataset_name": "iris",
        "algorithm": "random_forest",
        "target_column": "species",
        "hyperparameters": {"n_estimators": 100, "max_depth": 5},
    }
    assert semantic_name("ml_training_template", asked, asked) == "iris-random-forest-species-n100-d5"


few = st.one_of(st.integers(0, 3), st.sampled_from([0.1, 1e-9, True, False, "a b", "a_b", "", "ß", "x" * 70]))
siblings = st.lists(
    st.builds(
        lambda template, own: Sibling(template, own, own),
        st.sampled_from(["ml_training", "command"]),
        st.dictionaries(
            st.sampled_from(["dataset_name", "algorithm", "C", "max_depth", "h"]),
            st.one_of(few, st.lists(few, max_size=2), st.dictionaries(st.sampled_from("ab"), few, max_size=2)),
            max_size=4,
        ),
    ),
    min_size=1,
    max_size=6,
)


@given(siblings)
def test_names_of_siblings_are_valid_and_those_of_different_ones_differ(jobs: list[Sibling]) -> None:
    names = sibling_names(jobs)
    assert all(VALID.fullmatch(name) for name in names), names
    for job, name in zip(jobs, names, strict=True):
        assert [other == name for other in names] == [_text(job) == _text(other) for other in jobs]


def _text(job: Sibling) -> str:
    return json.dumps(job.identity(), sort_keys=True)


@given(siblings, st.randoms(use_true_random=False))
def test_names_of_siblings_do_not_depend_on_their_order(jobs: list[Sibling], chance: Any) -> None:
    different = [job for n, job in enumerate(jobs) if not any(_alike(job, other) for other in jobs[:n])]
    order = list(range(len(different)))
    chance.shuffle(order)
    names, shuffled = sibling_names(different), sibling_names([different[n] for n in order])
    assert [names[n] for n in order] == shuffled


def _alike(one: Sibling, other: Sibling) -> bool:
    """The same job, however its numbers are written; true is not 1."""
    return repr((one.template, sorted(one.parameters.items()))) == repr(
        (other.template, sorted(other.parameters.items()))
    )


@given(st.integers(2, 30), st.floats(0.001, 1000, allow_nan=False))
def test_what_all_siblings_have_is_not_in_their_names(count: int, shared: float) -> None:
    jobs = [
        {"dataset_name": "wine", "algorithm": "svm", "gamma": shared, "kernel": "rbf", "C": n + 1} for n in range(count)
    ]
    names = sibling_names([Sibling("hyperparameter_tuning", job, job) for job in jobs])
    assert names == [f"wine-svm-c{n + 1}" for n in range(count)]


def test_examples_of_siblings() -> None:
    """Table: what is asked beside the shared data set and algorithm, and the names."""
    tables: list[tuple[list[dict[str, Any]], list[str]]] = [
        ([{"C": 1.0}, {"C": 10.0}], ["iris-svm-c1", "iris-svm-c10"]),
        ([{"C": 1}, {"C": 1.0}], ["iris-svm", "iris-svm"]),
        ([{"C": 1}], ["iris-svm-c1"]),
        ([{"C": 1}, {}], ["iris-svm-c1", "iris-svm"]),
        (
            [{"hyperparameters": {"C": 1, "gamma": 1}}, {"hyperparameters": {"C": 2, "gamma": 1}}],
            ["iris-svm-c1", "iris-svm-c2"],
        ),
        ([{"seed": 1}, {"seed": 1}, {"seed": 2}], ["iris-svm-s1", "iris-svm-s1", "iris-svm-s2"]),
    ]
    for asked, want in tables:
        jobs = [{"dataset_name": "iris", "algorithm": "svm", **own} for own in asked]
        assert sibling_names([Sibling("t", job, job) for job in jobs]) == want
    close = sibling_names([Sibling("t", {"C": c}, {"C": c}) for c in (0.12345678, 0.12345679)])
    assert all(re.fullmatch(r"t-c0p123457-[0-9a-f]{10}", name) for name in close)
    assert close[0] != close[1]
