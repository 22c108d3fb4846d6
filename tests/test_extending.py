"""docs/extending.md: its code, entered into the tables, works in the real scripts and is found in their output."""

import re
from pathlib import Path

import numpy as np
import pytest

import analyze_mask_statistics
import analyze_model
import generate_masks_from_model
import instrument_segmentation
import models
import prepare_full_dataset
import test_single_frame
import train_comparative
import visualize_comparison
from surgseg.data import readers
from surgseg.figures import scores
from surgseg.files import read_csv, read_json
from surgseg.scores import metrics
from surgseg.training import losses
from tests.helpers import ROOT, noise_frame, save_image
from tests.test_docs import module_of, shown_commands

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


def section(title: str) -> tuple[str, str, str]:
    """(the code, the table's entry, the name of the code's file or "") that a section of the page shows."""
    text = PAGE[PAGE.index(f"\n## {title}\n") :].split("\n## ")[1]
    code, entry = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[:2]
    return code, entry, "".join(re.findall(r"^`\S*/(\w+\.py)`[:,]", text, re.MULTILINE))


def entered(monkeypatch, table: dict, entry: str, namespace: dict) -> str:
    """Add the entry to the table for the time of a test; its name."""
    ((name, value),) = eval(f"{{{entry}}}", namespace).items()
    monkeypatch.setitem(table, name, value)
    return name


def defined(code: str, module) -> dict:
    """The names of a module with those that the code defines beside them, as if it stood in the module's file."""
    namespace = dict(vars(module))
    exec(code, namespace)
    return namespace


def written(monkeypatch, code: str, name: str, folder: Path, package) -> None:
    """The code as a file of the package."""
    folder.mkdir()
    (folder / name).write_text(code)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])


@pytest.fixture
def extended(monkeypatch, tmp_path):
    """The names of the architecture, the loss and the metric of the page, which are there for the time of a test."""
    code, entry, name = section("An architecture")
    written(monkeypatch, code, name, tmp_path / "models", models)
    arch = entered(monkeypatch, models.ARCHITECTURES, entry, vars(models))
    code, entry, _ = section("A loss")
    loss = entered(monkeypatch, losses.LOSSES, entry, defined(code, losses))
    code, entry, _ = section("A score of each frame")
    metric = entered(monkeypatch, metrics.FRAME_METRICS, entry, defined(code, metrics))
    monkeypatch.chdir(tmp_path)
    return arch, loss, metric


SMALL = "--image-size 32 48 --epochs 1 --batch-size 6 --device cpu --lr 0.01".split()


def test_an_architecture_a_loss_and_a_metric_are_found_in_every_output(extended, tiny_prepared, capsys, monkeypatch):
    arch, loss, metric = extended
    data = ["--data-root", str(tiny_prepared)]
    weights = "outputs/instrument_segmentation_model.pth"
    assert instrument_segmentation.main([*data, *SMALL, "--arch", arch, "--loss", loss, "--freeze-backbone", "0"]) == 0
    assert "Missed share " in capsys.readouterr().out
    stored = read_json(Path(weights).with_suffix(".json"))
    assert stored["arch"] == arch and stored["training"]["settings"]["loss"] == loss
    table = [float(row[metric]) for row in read_csv("outputs/metrics_frames.csv") if row[metric]]
    found = read_json("outputs/metrics.json")
    assert table and found["per_frame"][f"mean_{metric}"] == pytest.approx(np.mean(table), abs=1e-5)
    assert f"frame_mean_{metric}" in found["per_video"]["video04"]

    drawn, save = [], scores.save_figure
    monkeypatch.setattr(scores, "save_figure", lambda figure, path: drawn.append(figure) or save(figure, path))
    assert analyze_model.main(["--mode", "model", *data, "--device", "cpu", "--examples", "0"]) == 0
    assert "Missed share of a frame" in [axis.get_xlabel() for axis in drawn[0].axes]

    frame = tiny_prepared / "frames" / "video04_000001.png"
    assert test_single_frame.main(["--frame", str(frame), "--device", "cpu"]) == 0
    film = ["--video-path", str(tiny_prepared / "frames"), "--output-dir", "generated", "--frame-step", "1"]
    assert generate_masks_from_model.main([*film, "--device", "cpu", "--backend", "torch"]) == 0
    assert read_json("generated/run.json")["model"]["arch"] == arch


def test_the_commands_of_the_page_are_ones_their_scripts_take(extended):
    commands = [command for command in shown_commands(PAGE) if "--format" not in command]
    assert len(commands) == 2
    for command in commands:
        module_of(command).build_parser().parse_args(command[1:])


def test_a_metric_stands_beside_the_statistics_of_a_video(extended, tmp_path, capsys):
    from tests.folders import columns, write_folder

    _, _, metric = extended
    folder = write_folder(tmp_path / "g", [columns(0, 4), columns(0, 4)])
    truth = write_folder(tmp_path / "truth", [columns(0, 8), columns(0, 4)])
    given = ["--generated-dir", str(folder), "--mask-dir", str(truth / "masks"), "--masks-reviewed"]
    assert analyze_mask_statistics.main(given) == 0
    assert re.search(r"Missed share, mean \(median\) +0\.250 \(0\.250\)", capsys.readouterr().out)
    rows = read_csv(folder / "mask_statistics_frames.csv")
    assert [float(row[metric]) for row in rows] == [0.5, 0.0]
    assert read_json(folder / "mask_statistics.json")["ground_truth"][metric]["mean"] == 0.25


def test_an_architecture_is_compared_with_the_others(extended, tiny_prepared, capsys):
    arch, loss, _ = extended
    options = [*SMALL, "--models", "unet", arch, "--base-channels", "2", "--loss", loss]
    assert train_comparative.main(["--data-root", str(tiny_prepared), *options]) == 0
    assert visualize_comparison.main([]) == 0
    text = capsys.readouterr().out
    label = models.ARCHITECTURES[arch].label
    assert f"\n{label} " in text and f"| {label} |" in Path("outputs/comparative/comparison_table.md").read_text()
    assert list(read_json("outputs/comparative/comparison.json")["models"]) == ["unet", arch]
    assert Path("outputs/comparative/final_comparison.png").is_file()


def test_a_data_set_is_prepared_by_its_reader(monkeypatch, tmp_path, capsys):
    code, entry, file = section("A data set")
    written(monkeypatch, code, file, tmp_path / "readers", readers)
    namespace = {}
    exec("from surgseg.data.readers import spotless", namespace)
    name = entered(monkeypatch, readers.READERS, entry, namespace)
    for patient in (1, 2, 3):
        for number in (3, 8):
            place = tmp_path / "source" / f"patient{patient}" / f"{number}.png"
            save_image(place, noise_frame(10 * patient + number))
            mask = np.zeros((24, 32), np.uint8)
            mask[:8], mask[8:12] = 160, 70
            save_image(place.with_name(f"{number}_tool.png"), mask)
    save_image(tmp_path / "source" / "patient1" / "9.png", noise_frame(9))
    options = ["--format", name, "--source-root", str(tmp_path / "source"), "--output-root", str(tmp_path / "out")]
    assert prepare_full_dataset.main([*options, "--skip-bad"]) == 0
    rows = read_csv(tmp_path / "out" / "manifest.csv")
    assert [row["name"] for row in rows][:2] == ["patient1_000003", "patient1_000008"] and len(rows) == 6
    assert {row["video"]: row["split"] for row in rows} == {
        "patient1": "train",
        "patient2": "train",
        "patient3": "test",
    }
    audit = read_json(tmp_path / "out" / "audit.json")
    assert audit["licences"] == ["CC0"] and audit["class_scheme"] == "parts"
    assert "licence of the data: CC0" in capsys.readouterr().out
    assert [problem["kind"] for problem in audit["problems"]] == ["frame without mask"]
