"""Data sets by name, and names that lead nowhere or out."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.domain.datasets import BUILT_IN, DatasetEntry, check_reference, check_target
from app.domain.errors import BadDataset
from app.domain.placeholders import BadPlaceholder, placeholders, substitute, text_of
from workers.datasets import SAMPLES, DatasetResolver
from workers.samples import make_raw_data


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_sets_are_what_the_catalog_says(name: str) -> None:
    facts = BUILT_IN[name]
    for target in (None, "target", facts.target):
        dataset = DatasetResolver().load(name, target)
        assert dataset.target_column == facts.target
        assert dataset.frame.shape == (facts.rows, facts.features + 1)
    with pytest.raises(BadDataset, match=facts.target):
        DatasetResolver().load(name, "other")
    with pytest.raises(BadDataset):
        check_target(name, "other")


def test_the_sample_is_what_its_script_writes(tmp_path: Path) -> None:
    make_raw_data.write(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (SAMPLES / "raw_data.csv").read_bytes()
    dataset = DatasetResolver(tmp_path / "nothing").load("raw_data.csv")
    assert dataset.target_column == "churned"
    assert len(dataset.frame) == 300
    assert dataset.frame.isna().any().sum() == 3


def test_the_order_is_registered_then_root_then_samples(tmp_path: Path) -> None:
    (tmp_path / "raw_data.csv").write_text("a,b\n1,2\n")
    (tmp_path / "kept.csv").write_text("a,b,c\n1,2,3\n")
    root = DatasetResolver(tmp_path)
    assert list(root.load("raw_data.csv").frame.columns) == ["a", "b"]
    registered = DatasetResolver(tmp_path, {"raw_data.csv": DatasetEntry("kept.csv", "b")})
    assert registered.load("raw_data.csv").target_column == "b"
    assert registered.load("raw_data.csv", "a").target_column == "a"
    gone = DatasetResolver(tmp_path, {"x": DatasetEntry("gone.csv")})
    with pytest.raises(BadDataset, match="no such file"):
        gone.load("x")
    with pytest.raises(BadDataset, match=r"did you mean kept\.csv"):
        root.load("kept.cvs")


def test_links_out_of_the_root_are_not_followed(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (outside / "secret.csv").write_text("a,b\n1,2\n")
    (root / "link.csv").symlink_to(outside / "secret.csv")
    (root / "folder").symlink_to(outside)
    for name in ("link.csv", "folder/secret.csv"):
        with pytest.raises(BadDataset, match="leaves the data root"):
            DatasetResolver(root).load(name)


@pytest.mark.parametrize(
    "name", ["", " ", "/etc/passwd", "~/x.csv", "a/../../b.csv", "..", "http://h/x.csv", "c:\\x.csv", "a\0b", "x" * 300]
)
def test_references_that_are_refused_at_submit(name: str) -> None:
    with pytest.raises(BadDataset):
        check_reference(name)


@pytest.mark.parametrize(
    "name", ["iris", "raw_data.csv", "team/sales 2024.parquet", "job_1/dataset.parquet", "a..b.csv"]
)
def test_references_that_are_fine(name: str) -> None:
    check_reference(name)


def test_placeholders_keep_json_types_only_as_a_whole() -> None:
    roots = {"parameters": {"lr": 0.1, "layers": [8, 4], "name": "${{ parameters.lr }}", "none": None}}
    assert substitute("${{ parameters.lr }}", roots) == 0.1
    assert substitute({"a": ["x-${{parameters.lr}}", "${{ parameters.layers.1 }}"]}, roots) == {"a": ["x-0.1", 4]}
    assert substitute("${{ parameters.name }}", roots) == "${{ parameters.lr }}"
    assert substitute("${{ parameters.lr }}${{ parameters.none }}", roots) == "0.1"
    assert text_of(True) == "true"
    assert list(placeholders({"a": ["${{ x.y }}", {"b": "1${{z}}"}]})) == ["x.y", "z"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${{ parameters.lrr }}", "did you mean parameters.lr"),
        ("${{ paramters.lr }}", "did you mean parameters"),
        ("${{ parameters.lr.x }}", "has no 'x'"),
        ("${{ parameters.layers.9 }}", "has no '9'"),
        ("${{ __import__('os') }}", "only dotted names"),
        ("${{ }}", "only dotted names"),
    ],
)
def test_placeholders_that_name_nothing(text: str, said: str) -> None:
    with pytest.raises(BadPlaceholder, match=said):
        substitute(text, {"parameters": {"lr": 1, "layers": [1]}})
