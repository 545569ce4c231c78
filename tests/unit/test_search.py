"""What a job is found by: bounded, canonical, and never a secret."""

from __future__ import annotations

from typing import Any

import pytest

from app.storage.job_search import BY_WORD, FROM_NEWEST, by_cost
from app.storage.search import LONGEST_FACT, LONGEST_TERM, MOST_FACTS, MOST_TERMS, fact, search_fields, search_words


def fields(name: str = "job", tags: tuple[str, ...] = (), **parameters: Any) -> dict[str, list[str]]:
    return search_fields(name, tags, parameters, ("token",))


def test_a_name_is_found_from_each_of_its_words_on() -> None:
    assert fields("Iris-random forest")["search"] == ["iris-random forest", "random forest", "forest"]


def test_texts_of_parameters_and_tags_are_terms_and_secrets_are_not() -> None:
    found = fields(tags=("Nightly",), algorithm="SVM", steps=["impute", 3], h={"kernel": "rbf"}, token="Geheim", n=7)
    assert found["search"] == ["job", "nightly", "svm", "impute", "rbf"]
    assert "geheim" not in str(found)


def test_each_value_is_a_fact_under_its_path_and_its_own_name() -> None:
    found = fields(h={"C": 10.0, "deep": {"on": True}}, names=["A", "b"], none=None, empty="")
    assert found["facts"] == ["c=10", "h.c=10", "on=true", "h.deep.on=true", "names=a", "names=b", "empty="]


@pytest.mark.parametrize(
    ("asked", "stored"),
    [("10", 10), ("10.0", 10), ("1e1", 10), (" 10 ", 10.0), ("0.1", 0.1), ("1e-05", 0.00001), ("TRUE", True),
     ("SVM", "svm"), ("007", "7"), ("nan", "NaN"), ("9007199254740993", 9007199254740993), ("-3", -3.0),
     ("x" * 500, "x" * 500)],
)  # fmt: skip
def test_a_value_is_found_however_it_is_written(asked: str, stored: Any) -> None:
    assert fact("c", asked) == fact("c", stored)


@pytest.mark.parametrize(
    ("asked", "stored"), [("1", True), ("10", 100), ("x" * 500, "x" * 501), ("1.5", "1.50001"), ("", "0")]
)
def test_other_values_are_other_facts(asked: str, stored: Any) -> None:
    assert fact("c", asked) != fact("c", stored)


def test_everything_is_bounded() -> None:
    found = fields("w " * 5_000, tags=tuple(f"t{n}" for n in range(60)), **{f"p{n}": "v" * 9_999 for n in range(300)})
    assert len(found["search"]) == MOST_TERMS
    assert max(map(len, found["search"])) <= LONGEST_TERM
    assert len(found["facts"]) == MOST_FACTS
    assert max(map(len, found["facts"])) <= LONGEST_FACT
    assert search_words("a " * 500) == ["a"] * 10
    assert search_words("x" * 10_000) == ["x" * LONGEST_TERM]
    assert search_words(".*\0(a+)+$") == [".*", "(a+)+$"]


@pytest.mark.parametrize(
    ("hits", "everything", "limit", "index"),
    [
        ((0,), 100_000, 50, BY_WORD),
        ((1_000,), 100_000, 50, BY_WORD),
        ((4_000,), 100_000, 50, FROM_NEWEST),
        ((5_000,), 100_000, 50, FROM_NEWEST),
        ((4_000, 4_000), 100_000, 50, BY_WORD),
        ((5_000, 5_000), 5_000, 50, FROM_NEWEST),
        ((5_000, 1_200), 100_000, 50, BY_WORD),
        ((5_000,), 10_000_000, 50, FROM_NEWEST),
        ((3,), 0, 50, FROM_NEWEST),
    ],
)
def test_a_search_goes_the_way_on_which_it_meets_fewer_jobs(
    hits: tuple[int, ...], everything: int, limit: int, index: str
) -> None:
    assert by_cost(hits, everything, limit) == index
