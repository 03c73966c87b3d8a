"""What keeps the package a house: rooms, sizes, words, cost of the door. Reads the source, imports none of it."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import annotated

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "spikeworks"
ROOMS = (
    "disk", "neurons", "layers", "models", "quality", "cluster", "events", "camera", "measure", "convert", "train",
    "deploy", "recipes", "view", "cli", "__main__",
)  # fmt: skip
"""A room imports only from rooms before it; only the command line goes through the door, ``spikeworks/__init__.py``."""

# what `import torch` itself brings in is left out of this list at run time
HEAVY = (
    "matplotlib", "numba", "llvmlite", "rich", "cyclopts", "sklearn", "scipy", "PIL", "triton", "safetensors", "sympy",
    "lightning_fabric", "tensorboard", "mlflow",
)  # fmt: skip


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
EACH_FILE = pytest.mark.parametrize("module", FILES)


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text())


def _only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when the module is imported: not function bodies, not imports made for types only."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not _only_for_types(child):
            yield child
            yield from _at_import(child)


def _imported(module: str, nodes: Iterator[ast.AST]) -> set[str]:
    """The package's own modules that the import statements among ``nodes`` name."""
    found = set()
    package = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inside = f"{source}.{alias.name}"
                found.add(inside if inside in FILES else source)
    return {name for name in found if name.split(".")[0] == "spikeworks"}


def _room(module: str) -> str:
    return module.split(".")[1]


@EACH_FILE
def test_rooms_import_only_from_rooms_before_them(module: str) -> None:
    if module == "spikeworks":
        return
    assert _room(module) in ROOMS, f"{module} is in no room of the plan; give it one"
    for target in _imported(module, ast.walk(_tree(module))):
        assert target in FILES, f"{module} imports {target}, which is not there"
        if target == "spikeworks":
            assert _room(module) == "cli", f"{module} imports the whole package; import from the room that has the name"
            continue
        assert ROOMS.index(_room(target)) <= ROOMS.index(_room(module)), f"{module} imports upward: {target}"


def test_no_import_cycles() -> None:
    imports = {module: _imported(module, _at_import(_tree(module))) for module in FILES}
    finished: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in finished:
            for target in imports[module]:
                visit(target, (*path, module))
            finished.add(module)

    for module in FILES:
        visit(module, ())


def test_a_file_is_one_idea() -> None:
    lines = {module: len(path.read_text().splitlines()) for module, path in FILES.items()}
    assert not {module: n for module, n in lines.items() if n > 400}, "past 400 lines a file is two ideas"
    assert statistics.median(lines.values()) <= 200


def _public(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, ast.AST]]:
    for child in node.body:
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or child.name.startswith("_"):
            continue
        if any(ast.unparse(d).endswith((".setter", "overload")) for d in child.decorator_list):
            continue
        yield f"{prefix}.{child.name}", child
        if isinstance(child, ast.ClassDef):
            yield from _public(child, f"{prefix}.{child.name}")


@EACH_FILE
def test_public_names_are_explained(module: str) -> None:
    tree = _tree(module)
    bare = [name for name, node in [(module, tree), *_public(tree, module)] if not ast.get_docstring(node)]
    assert not bare, "without a docstring"


@EACH_FILE
def test_the_library_does_not_print(module: str) -> None:
    calls = [node for node in ast.walk(_tree(module)) if isinstance(node, ast.Call)]
    assert not [f"line {c.lineno}" for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]


@cache
def _tracked() -> tuple[Path, ...]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: what is tracked cannot be known")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


def test_tracked_files_are_small() -> None:
    assert not [str(path) for path in _tracked() if path.stat().st_size > 2**20]


def _lines_with(pattern: str) -> list[str]:
    found = []
    for path in _tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture, say
        found += [f"{path.name}:{n}: {line}" for n, line in enumerate(text.splitlines(), 1) if re.search(pattern, line)]
    return found


def test_nothing_is_left_unfinished() -> None:
    assert not _lines_with(r"\b(?:TO" + r"DO|FIX" + r"ME|TB" + r"D)\b")


def test_no_file_knows_a_machine() -> None:
    assert not _lines_with(r"(?<![\w.~-])/(?:home|root|Users|work|opt|tmp|mnt|srv)/\w")


def _run(*arguments: str) -> str:
    result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


IMPORT = """
import sys, time, torch
before, start = set(sys.modules), time.process_time()
import spikeworks
spikeworks.SNN, spikeworks.LIF  # should names come in at first use, this is the first use
cost = time.process_time() - start
print(cost, *{name.partition('.')[0] for name in set(sys.modules) - before})
"""


def test_import_costs_no_more_than_torch() -> None:
    costs, heavy = [], set()
    for _ in range(3):  # the best of three: other processes only ever add
        cost, *modules = _run("-c", IMPORT).split()
        costs.append(float(cost))
        heavy |= set(modules) & set(HEAVY)
    assert not heavy
    assert min(costs) <= 0.3, f"CPU seconds on top of torch: {costs}"


HELP = """
import runpy, sys
sys.argv = ["spikeworks", "--help"]
try:
    runpy.run_module("spikeworks", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
assert "torch" not in sys.modules, "--help imported torch"
"""


def test_the_door_leads_to_every_name() -> None:
    import spikeworks

    imports = [node for node in ast.walk(_tree("spikeworks")) if isinstance(node, ast.ImportFrom) and node.level]
    promised = {alias.name for node in imports for alias in node.names} - {"*"}  # what type checkers see
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} - {"cli"}  # typed, not called
    assert rooms <= promised <= set(dir(spikeworks))
    for name in dir(spikeworks):
        assert hasattr(spikeworks, name)
    assert not hasattr(spikeworks, "nothing_of_this_name")


def test_help_needs_no_torch() -> None:
    assert "demo" in _run("-c", HELP)


def test_annotations_are_checked_while_tests_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "house_sample.py").write_text(
        "def halve(x: float) -> int:\n"
        "    if x == 'no':\n"
        "        raise ValueError('halve got a word, expected a number; pass one.')\n"
        "    return x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    annotated.check("house_sample")
    import house_sample  # type: ignore[import-not-found]

    assert house_sample.halve(2) == 2
    with pytest.raises(annotated.AnnotationError, match="accepted"):
        house_sample.halve("two")
    with pytest.raises(annotated.AnnotationError, match="return"):
        house_sample.halve(2.5)
    with pytest.raises(ValueError, match="expected a number"):
        house_sample.halve("no")


def test_shapes_are_held_to_names() -> None:
    import torch

    @annotated.checked
    def add(x_TB: torch.Tensor, y_B1: torch.Tensor) -> int:
        if x_TB.dim() == 1:
            raise ValueError("add got one axis, expected [T, B, ...]; unsqueeze it.")
        return x_TB.dim()

    assert add(torch.ones(3, 2, 5), torch.ones(2, 1)) == 3
    for x, y, fault in (((3, 2), (3, 1), "where B is 2"), ((3, 2), (2, 2), "where 1 is 1"), ((3, 2), (2,), "y_B1")):
        with pytest.raises(annotated.AnnotationError, match=fault):
            add(torch.ones(x), torch.ones(y))
    with pytest.raises(ValueError, match="unsqueeze"):
        add(torch.ones(3), torch.ones(3, 1))


def test_unwritten_memory_is_poisoned() -> None:
    import torch

    made = torch.empty(3), torch.empty_like(torch.ones(3)), torch.ones(1).new_empty(3), torch.empty_strided((3,), (2,))
    assert all(tensor.isnan().all() for tensor in made)
