"""Names: always valid, stable, and different for siblings."""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.naming import MAX_LENGTH, semantic_name, suffixed

VALID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
values = st.one_of(st.integers(), st.floats(allow_nan=False), st.text(), st.booleans(), st.none())
parameters = st.dictionaries(
    st.text(min_size=1), st.one_of(values, st.lists(values), st.dictionaries(st.text(), values))
)


@given(st.text(), parameters)
def test_a_name_is_always_valid(template: str, given_parameters: dict[str, Any]) -> None:
    name = semantic_name(template, given_parameters, given_parameters)
    assert VALID.fullmatch(name), name


@given(parameters)
def test_a_name_is_stable(given_parameters: dict[str, Any]) -> None:
    first = semantic_name("ml_training", given_parameters, given_parameters)
    assert semantic_name("ml_training", dict(given_parameters), dict(given_parameters)) == first


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
