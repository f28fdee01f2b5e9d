"""The shape of the tree: layers, short functions, nothing unfinished, no test that is skipped in silence."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TREE = Path(__file__).parents[1]
PROGRAM = sorted((TREE / "kiribi_cli").rglob("*.py"))
TESTS = sorted((TREE / "tests").rglob("*.py"))
TEXTS = [
    path
    for path in [
        *TREE.iterdir(),
        *(TREE / ".ci").rglob("*"),
        *(TREE / "kiribi_cli").rglob("*"),
        *(TREE / "tests").rglob("*"),
    ]
    if path.suffix in {".py", ".md", ".sql", ".toml", ""} and path.is_file()
]


def test_the_layers_hold():
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([linter, "--no-cache"], cwd=TREE, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_left_unfinished():
    # Spelled in two halves, or this file would be a find of its own.
    marker = re.compile(rf"\b(TO{'DO'}|FIX{'ME'}|XX{'X'}|HA{'CK'})\b|NotImplemented{'Error'}")
    found = [f"{path.relative_to(TREE)}: {hit[0]}" for path in TEXTS for hit in marker.finditer(path.read_text())]

    assert found == []


def test_no_function_is_longer_than_sixty_lines():
    long = [
        f"{path.relative_to(TREE)}:{node.lineno} {node.name}"
        for path in PROGRAM
        for node in _walk(path)
        if isinstance(node, ast.FunctionDef) and _lines(node) > 60
    ]

    assert long == []


def test_every_module_of_the_program_says_what_it_is_for():
    silent = [
        str(path.relative_to(TREE)) for path in PROGRAM if path.read_text() and not ast.get_docstring(_tree(path))
    ]

    assert silent == []


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(TREE)))
def test_no_test_is_skipped_without_a_reason(path):
    silent = [
        f"line {call.lineno}: {ast.unparse(call)}"
        for call in _walk(path)
        if isinstance(call, ast.Call)
        and (name := ast.unparse(call.func)).startswith("pytest.")
        and name.rpartition(".")[2] in {"skip", "skipif", "xfail", "importorskip"}
        and not (call.args if name == "pytest.skip" else [word for word in call.keywords if word.arg == "reason"])
    ]
    bare = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for function in _walk(path)
        if isinstance(function, ast.FunctionDef)
        for node in function.decorator_list
        if ast.unparse(node) in {"pytest.mark.skip", "pytest.mark.xfail"}
    ]

    assert silent + bare == []


def test_what_tests_need_is_installed_by_the_script_that_runs_them_all():
    tools = re.search(r"^tools=\((.*)\)$", (TREE / ".ci" / "run").read_text(), re.MULTILINE)
    installed = {tool.partition("=")[0] for tool in tools[1].split()}
    needed = {
        argument.value
        for path in TESTS
        for call in _walk(path)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.needs"
        for argument in call.args
    }

    assert needed - {"root"} <= installed
    # Only the marker turns a missing program into a failure there. The benchmark's peers come on request, and are no tests.
    tests = [path for path in TESTS if path.name != "conftest.py" and "bench" not in path.parts]
    assert [str(path) for path in tests if f"shutil.{'which'}(" in path.read_text()] == []


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _walk(path: Path) -> Iterator[ast.AST]:
    return ast.walk(_tree(path))


def _lines(node: ast.FunctionDef) -> int:
    # The signature of a command is its table of options, and its docstring the help: neither is its thought.
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
