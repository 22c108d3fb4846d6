"""What README, docs and Makefile show: commands that scripts take, a demo that runs, links and figures that exist."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from surgseg import onnx
from surgseg.figures import plan, style
from surgseg.files import read_csv, read_json

ROOT = Path(__file__).resolve().parents[1]
README, MAKEFILE = ROOT / "README.md", ROOT / "Makefile"
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [README, *DOCS, ROOT / "data" / "README.md", ROOT / "outputs" / "README.md"]
SCRIPTS = {
    path.relative_to(ROOT).as_posix()
    for place in (ROOT, ROOT / "benchmarks")
    for path in place.glob("*.py")
    if "__main__" in path.read_text(encoding="utf-8")
}
MODULES = {"surgseg.synthetic": "surgseg.synthetic.__main__"}
TINY = {"videos": 3, "clips": 1, "frames": 4, "size": (64, 112), "seed": 3}


def shown_commands(text: str) -> list[list[str]]:
    """The arguments after `python` of each command of ours: continuation lines joined, comments dropped."""
    text = re.sub(r"\\\n\s*", " ", text)
    starters = r"(?:python +(?:-m +)?|torchrun +(?:--[\w-]+ +\S+ +)+)"
    found = re.findall(starters + r"([\w./]+\b[^`\n]*)", text)
    found += [
        cell for line in text.splitlines() if line.startswith("|") for cell in re.findall(r"`(\w+\.py .*?)`", line)
    ]
    found = [line.replace("$RESUME", "--resume").replace("$(ARGS)", "") for line in found]
    return [shlex.split(line, comments=True) for line in found if line.split()[0] in SCRIPTS | set(MODULES)]


def module_of(command: list[str]):
    return importlib.import_module(MODULES.get(command[0], command[0].removesuffix(".py").replace("/", ".")))


def block(path: Path, start: str, end: str) -> str:
    text = path.read_text(encoding="utf-8")
    begin = text.index(start)
    return text[begin : text.index(end, begin)]


COMMANDS = [
    pytest.param(command, id=f"{path.name}:{' '.join(command)[:60]}")
    for path in (MAKEFILE, *PAGES)
    if path.name != "extending.md"  # its commands name what its code adds: see test_extending.py
    for command in shown_commands(path.read_text(encoding="utf-8"))
]


def test_commands_are_found():
    scripts = {param.values[0][0] for param in COMMANDS}
    missing = SCRIPTS - scripts
    assert len(COMMANDS) >= 30 and missing == set(), f"no command shown of {missing}"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_shown_command_is_one_its_script_takes(command):
    module_of(command).build_parser().parse_args(command[1:])


@pytest.fixture
def tiny_demo(tmp_path, monkeypatch):
    """An empty folder in which the demo draws and trains next to nothing."""
    from surgseg.synthetic import demo, release

    options = {**demo.demo_options(), "base_channels": 4, "image_size": [32, 48], "epochs": 1}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(release, "DEMO_STREAM", TINY)
    monkeypatch.setattr(demo, "DEMO_STREAM", TINY)
    monkeypatch.setattr(demo, "demo_options", lambda: options)
    monkeypatch.setattr(onnx, "missing_packages", lambda: ["onnx"])  # an export takes seconds
    monkeypatch.setattr(style, "DPI", 50)


def run_all(commands: list[list[str]]) -> None:
    for command in commands:
        assert module_of(command).main(command[1:]) == 0, command


def test_make_demo_runs_and_leaves_what_it_promises(tiny_demo, capsys):
    commands = shown_commands(block(MAKEFILE, "demo: setup", "\n\n"))
    assert [command[0] for command in commands] == [
        "surgseg.synthetic", "prepare_full_dataset.py", "instrument_segmentation.py", "analyze_model.py",
        "generate_masks_from_model.py", "analyze_mask_statistics.py",
    ]  # fmt: skip
    run_all(commands)
    printed = capsys.readouterr()
    assert "SYNTHETIC DATASET EVALUATION" in printed.out
    assert "not marked synthetic" not in printed.out + printed.err
    output = Path("outputs/demo")
    assert read_json(output / "instrument_segmentation_model.json")["training"]["data"] == "synthetic"
    assert read_json(output / "metrics.json")["classes"] == read_json(output / "analysis_metrics.json")["classes"]
    assert [int(row["frame"]) for row in read_csv("data/demo/generated/frames.csv")] == [0, 1, 2, 3]
    figures = {path.stem for path in (output / "figures").glob("*.png")}
    assert figures >= {"training_loss", "segmentation_results", "full_dataset_complete_analysis", "mask_statistics"}


def test_the_demo_without_make_runs(tiny_demo):
    shown = block(ROOT / "docs" / "install.md", "```powershell", "```\n").replace(".venv\\Scripts\\", "")
    commands = [command for command in shown_commands(shown) if command[0] != "pytest"]
    assert len(commands) == 3
    run_all(commands)
    assert Path("outputs/demo/figures/mask_statistics.png").is_file()


def shown_figures() -> dict[str, str]:
    """Figure -> script, of the table in docs/figures.md."""
    table = block(ROOT / "docs" / "figures.md", "| figure | what it shows |", "\n\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {name: script.strip("`") for figure, _, _, script in rows for name in re.findall(r"\[`(\w+)`\]", figure)}


def planned_figures() -> dict[str, str]:
    return {path.stem: step.script for step in plan.synthetic_steps() for path in step.figures}


def test_the_table_names_every_figure_with_its_script():
    assert shown_figures() == planned_figures()


def links(page: Path) -> list[str]:
    found = re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    return [target for target in found if not target.startswith(("http", "#"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_links_to_is_there(page):
    assert [target for target in links(page) if not (page.parent / target.partition("#")[0]).is_file()] == []


def test_the_readme_is_short_and_leads_to_every_page():
    assert README.stat().st_size <= 8192
    assert {ROOT / target for target in links(README)} >= set(DOCS)


def test_every_committed_figure_is_small_and_shown():
    copies = list((ROOT / "docs" / "figures").glob("*.*"))
    others = {"adapting_chosen", "adapting_corrected", "adaptation", "review"}  # docs/adapting.md, benchmarks, tests
    assert {path.stem for path in copies} == set(planned_figures()) | others
    assert max(path.stat().st_size for path in copies) < 400_000
