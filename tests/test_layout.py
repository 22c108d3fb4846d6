"""The rules of the house: imports go down, and `argparse.Namespace` stays with scripts and options."""

import ast
from collections import Counter, defaultdict
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from tests.helpers import ROOT

LEVELS = (  # lowest first; a room may import the levels below it, and itself. All other modules are the ground
    {"scores", "video"},
    {"data", "predict"},
    {"training", "generate", "live", "evaluation", "onnx", "synthetic", "annotations"},
    {"study", "analysis", "quantise", "review"},
    {"figures"},
    {"run_training"},
)
LEVEL = {room: number for number, rooms in enumerate(LEVELS, 1) for room in rooms}
MODULES = sorted(path.relative_to(ROOT) for package in ("surgseg", "models") for path in (ROOT / package).rglob("*.py"))


def room_of(parts: tuple[str, ...]) -> str:
    """The folder, or the module, directly below `surgseg`; "models" for the other package."""
    return parts[1].removesuffix(".py") if parts[0] == "surgseg" and len(parts) > 1 else parts[0]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


@cache
def imported(path: Path) -> list[tuple[str, ...]]:
    """The dotted names of ours that a module imports, wherever in it."""
    found = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return [tuple(name.split(".")) for name in found if name.split(".")[0] in ("surgseg", "models")]


def test_imports_go_down():
    wrong = [
        f"{path} imports {'.'.join(name)}"
        for path in MODULES
        for name in imported(path)
        if room_of(name) != room_of(path.parts) and LEVEL.get(room_of(name), 0) >= LEVEL.get(room_of(path.parts), 0) > 0
    ]
    wrong += [
        f"{path} imports {'.'.join(name)}"
        for path in MODULES
        for name in imported(path)
        if room_of(path.parts) not in LEVEL and room_of(name) in LEVEL
    ]
    assert wrong == []


def test_modules_do_not_import_each_other_in_a_circle():
    known = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES}
    graph = {}
    for module, path in known.items():
        names = (".".join(name) for name in imported(path))
        graph[module] = {name if name in known else name.rpartition(".")[0] for name in names} - {module}
    TopologicalSorter(graph).prepare()  # raises CycleError, naming the circle


def test_one_name_has_one_meaning():
    """No function or class is defined in two modules. `__main__` is a script."""
    places = defaultdict(list)
    for path in MODULES:
        for node in tree_of(path).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and path.stem != "__main__":
                places[node.name].append(str(path))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_module_and_no_room_is_too_large():
    lines = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {path: count for path, count in lines.items() if count > 300} == {}
    rooms = Counter()
    for path, count in lines.items():
        if path.parts[0] == "surgseg" and len(path.parts) > 2:
            rooms[path.parts[1]] += count
    assert max(rooms.values()) <= 0.2 * sum(count for path, count in lines.items() if path.parts[0] == "surgseg")


def test_only_scripts_and_options_know_the_command_line():
    wrong = []
    for path in MODULES:
        if path.stem in ("options", "config", "console", "__main__"):
            continue
        names = {node.arg for node in ast.walk(tree_of(path)) if isinstance(node, ast.arg)}
        if "args" in names or "argparse" in (ROOT / path).read_text(encoding="utf-8"):
            wrong.append(str(path))
    assert wrong == []
