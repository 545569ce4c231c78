"""The rules of the house that no linter knows: sizes, docstrings, what must not be written down, what must be."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.startup import python_too_old

ROOT = Path(__file__).parents[2]
CODE = sorted(
    path for folder in ("app", "workers") for path in (ROOT / folder).rglob("*.py") if "_generated" not in path.parts
)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
FILE_LINES = 300
FUNCTION_LINES = 45
NOT_OURS = {
    ".git",
    ".venv",
    ".tensorfleet",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
    "site",
    "vendor",
}
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".lua", ".txt", ".in", ".example", ".json", ""}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def texts() -> Iterator[Path]:
    """Every text file of the project."""
    for path in sorted(ROOT.rglob("*")):
        parts = set(path.relative_to(ROOT).parts)
        if path.is_file() and path.suffix in TEXT and not parts & NOT_OURS and "__pycache__" not in parts:
            yield path


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("path", CODE, ids=name)
def test_module_says_its_idea_and_stays_small(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    if text.strip():
        assert ast.get_docstring(tree), "the module has no docstring"
    assert len(text.splitlines()) <= FILE_LINES, "a concept is missing: find it and give it a file"
    long = {
        node.name: size
        for node in functions(tree)
        if node.end_lineno and (size := node.end_lineno - node.lineno + 1) > FUNCTION_LINES
    }
    assert long == {}, "a concept is missing: find it and give it a function"


@pytest.mark.parametrize("path", [*CODE, *TESTS], ids=name)
def test_nothing_is_left_for_later(path: Path) -> None:
    marks = re.findall(r"#\s*(?:TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b", path.read_text())
    assert marks == []


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_tests_wait_for_signals_not_for_time(path: Path) -> None:
    if path.name == "wait.py":
        return
    sleeps = re.findall(r"\b(?:asyncio|time)\.sleep\((?!0\))[^)]*\)", path.read_text())
    assert sleeps == [], "await a signal, or tests.support.wait.until"


def test_nothing_names_this_machine_or_a_registry() -> None:
    folders = "|".join(["wo" + "rk", "ro" + "ot", "fa" + "rm", "ho" + "me"])
    banned = re.compile(rf"(?<![\w.}}\-])/(?:{folders})/|py" + r"pi\.org|python" + r"hosted\.org|registry\.np" + "mjs")
    found = {name(path): banned.findall(path.read_text(errors="replace")) for path in texts()}
    assert {path: hits for path, hits in found.items() if hits} == {}


def test_lock_files_hold_no_address_and_only_hashed_pins() -> None:
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        text = path.read_text()
        assert "://" not in text, path.name
        pins = re.split(r"\n(?=\S)", text.strip())
        assert pins and all("==" in pin and "--hash=sha256:" in pin for pin in pins), path.name


def test_torch_is_the_users_own() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        assert not re.search(r"^(torch|nvidia-)", path.read_text(), re.MULTILINE), path.name


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    explained = (ROOT / "docs/dependencies.md").read_text()
    pins = [*project["dependencies"], *(pin for extra in project["optional-dependencies"].values() for pin in extra)]
    plain = [re.split(r"[><=;\[\s]", pin)[0] for pin in pins]
    parts = {"pytest-": "-", "opentelemetry-": "OpenTelemetry"}
    short = [
        next((to + one.removeprefix(of) if to == "-" else to for of, to in parts.items() if one.startswith(of)), one)
        for one in plain
    ]
    assert [one for one in short if one not in explained] == []


def test_the_glossary_tells_each_word_once_and_in_order() -> None:
    words = re.findall(r"^(\S.*)\n: {3}\S", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    assert len(words) > 70 and words == sorted(set(words))


@pytest.mark.parametrize("path", sorted((ROOT / "docs/decisions").glob("*.md")), ids=name)
def test_decision_has_its_four_parts(path: Path) -> None:
    text = path.read_text()
    assert re.match(rf"# {path.name[:4]} \S", text)
    assert re.findall(r"^\*\*(.+?)\.\*\*", text, re.MULTILINE) == ["Context", "Decision", "Consequences", "Enforced by"]


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs/decisions").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_makefile_lists_every_habit() -> None:
    text = (ROOT / "Makefile").read_text()
    listed = set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))
    assert listed >= {"help", "setup", "demo", "dev", "test", "test-all", "lint", "types", "bench", "docs", "clean"}
    declared = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE).group(1).split())  # type: ignore[union-attr]
    assert listed == declared


def test_an_old_python_is_told_the_same_by_make_and_by_us() -> None:
    assert python_too_old("%d.%d.%d").removeprefix("Python ") in (ROOT / "Makefile").read_text()


def test_ci_can_be_run() -> None:
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
