"""What a file says of itself without being read whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.storage.tables import SAMPLE_BYTES, table_facts


@pytest.mark.parametrize("rows", [1, 10, 100_000])
def test_rows_are_counted_or_estimated_and_features_are_the_header_less_the_target(tmp_path: Path, rows: int) -> None:
    text = '"a, b",c,y\n' + "".join(f"{n % 7}.25,{n % 10},1\n" for n in range(rows))
    (tmp_path / "t.CSV").write_text(text)
    found = table_facts(tmp_path, "t.CSV")
    assert found["bytes"] == len(text)
    assert found["features"] == 2
    assert found["rows"] == pytest.approx(rows, rel=0.01)


def test_a_parquet_file_says_its_size_only(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1" * 10)
    assert table_facts(tmp_path, "t.parquet") == {"bytes": 40}


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"a,b\n", b"one\n1\n2\n", b"\xff\xfe,\x00\n1\n", b"a,b" + b"x" * SAMPLE_BYTES, b'"\n"\n"']
)
def test_what_is_no_table_says_no_rows(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    assert "rows" not in table_facts(tmp_path, "t.csv")


def test_what_is_not_below_the_root_says_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "folder.csv").mkdir(parents=True)
    (tmp_path / "out.csv").write_text("a,b\n1,2\n")
    (root / "link.csv").symlink_to(tmp_path / "out.csv")
    for name in ("none.csv", "folder.csv", "link.csv", "../out.csv", "a\0.csv"):
        assert table_facts(root, name) == {}
    assert table_facts(tmp_path / "nowhere", "out.csv") == {}
