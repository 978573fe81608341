"""Rules of the tree that no linter knows."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "modiste"
MODULES = sorted(PACKAGE.rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "common", "helpers", "core", "base_service", "manager", "service"}


def test_every_module_stands_in_the_architecture_map() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    missing = [
        str(module.relative_to(PACKAGE))
        for module in MODULES
        if module.name != "__init__.py"
        and "migrations" not in module.parts
        and not re.search(rf"\b{re.escape(module.stem)}\b", text)
    ]
    assert missing == []


def test_the_architecture_map_names_no_module_that_is_gone() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)`", text))
    gone = [
        n
        for n in named
        if not ((PACKAGE / n).exists() or (ROOT / n).exists() or (ROOT / "tests" / n).exists())
    ]
    assert gone == []


def test_no_module_is_named_after_nothing() -> None:
    assert [m for m in MODULES if m.stem in FORBIDDEN_NAMES] == []


def test_init_files_below_the_top_are_empty() -> None:
    full = [
        m
        for m in MODULES
        if m.name == "__init__.py" and m.parent != PACKAGE and m.read_text().strip()
    ]
    assert full == []


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_nothing_is_pickled(module: Path) -> None:
    tree = ast.parse(module.read_text())
    imported = {
        name.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
    } | {
        (node.module or "").split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 0
    }
    assert not imported & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    calls = {
        f"{node.func.value.id}.{node.func.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
    }
    assert not calls & {"torch.save", "torch.load"}


def test_every_module_says_what_it_is_on_its_first_line() -> None:
    silent = [
        str(m.relative_to(PACKAGE))
        for m in MODULES
        if m.read_text().strip() and not ast.get_docstring(ast.parse(m.read_text()))
    ]
    assert silent == []


def test_every_module_with_code_has_a_test_file_of_its_name() -> None:
    """Except bootstraps and migrations, which the tests of what they start exercise, and the parts
    of the recipes of what ships, each of which one test covers."""
    exempt = {"__main__.py", "types.py", "errors.py"}
    tests = {t.name for t in (ROOT / "tests").rglob("test_*.py")}
    untested = [
        str(m.relative_to(PACKAGE))
        for m in MODULES
        if m.name not in exempt
        and m.read_text().strip()
        and m.name != "__init__.py"
        and not {"migrations", "bases"} & set(m.parts)
        and f"test_{m.name}" not in tests
    ]
    assert untested == []


def test_decision_pages_have_their_four_parts() -> None:
    for page in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        text = page.read_text()
        for part in ("\n> ", "## Context", "## Consequences", "## What enforces it"):
            assert part in text, f"{page.name} lacks {part.strip()}"


def test_every_runtime_dependency_has_its_sentence() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [
        d for extra in project["optional-dependencies"].values() for d in extra
    ]
    text = (ROOT / "docs" / "dependencies.md").read_text().lower()
    names = {re.split(r"[\[<>=~! ]", d)[0].lower() for d in wanted}
    assert {n for n in names if f"`{n}`" not in text} == set()


def is_command(module: Path) -> bool:
    from modiste.cli.app import COMMANDS

    return module.parent.name == "cli" and module.stem in COMMANDS


def test_every_module_is_imported_somewhere_or_run_or_shown_to_users() -> None:
    """Dead modules are deleted in the commit that makes them dead.

    What a page of docs/ tells users to import is theirs, whether or not we import it ourselves.
    """
    sources = {m: m.read_text() for m in MODULES}
    shown = "\n".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    dead = []
    for module in MODULES:
        if module.name in {"__init__.py", "__main__.py"} or "migrations" in module.parts:
            continue
        if "__main__" in sources[module] or is_command(module):
            continue
        dotted = "modiste." + ".".join(module.relative_to(PACKAGE).with_suffix("").parts)
        parent, _, stem = dotted.rpartition(".")
        pattern = re.compile(
            rf"{re.escape(dotted)}\b|from {re.escape(parent)} import[^\n]*(\n[^)]*)?\b{stem}\b"
        )
        ours = any(pattern.search(text) for m, text in sources.items() if m != module)
        if not ours and not re.search(rf"{re.escape(dotted)}\b", shown):
            dead.append(dotted)
    assert dead == []
