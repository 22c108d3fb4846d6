"""make_figures.py: the plan, the names that figures get, and what becomes of a command that fails."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import make_figures
from surgseg.figures import plan
from surgseg.figures.copies import WIDTH, copy_small
from surgseg.files import UserError, read_json, write_json
from surgseg.video.writer import VideoWriter


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def film(path: Path, comment: str = "") -> Path:
    with VideoWriter(path, 25, metadata={"comment": comment} if comment else None) as writer:
        for level in range(3):
            writer.write(np.full((64, 64, 3), 60 * level, np.uint8))
    return path


def commands(capsys) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("python ")]


def test_the_synthetic_plan_uses_no_name_of_the_study_and_no_place_of_real_results(capsys):
    assert make_figures.main(["--dry-run"]) == 0
    text = "\n".join(commands(capsys))
    figures = [path for step in plan.synthetic_steps() for path in step.figures]
    assert not any(path.stem.startswith("video01") or path.stem.startswith("video80") for path in figures)
    assert "--output-dir outputs/demo" in text and "outputs/instrument_segmentation_model.pth" not in text
    assert "--output-dir outputs/comparative --note" in text and "undertrained" in text
    assert not list(Path().iterdir()), "a dry run makes nothing"


def test_real_videos_get_the_studys_names_and_others_none_of_theirs(tiny_prepared, capsys):
    videos = [str(film(Path("video01.mp4"))), str(film(Path("Jane Doe.mp4")))]
    options = ["--data-root", str(tiny_prepared), "--dry-run", "--epochs", "3", "--train-options", "--split video"]
    assert make_figures.main([*options, "--video-paths", *videos]) == 0
    found = commands(capsys)
    made = next(line for line in found if "analyze_mask_statistics" in line)
    assert "outputs/figures/video01_generation_analysis.png" in made
    assert any("operation_2_visual_analysis.png" in line for line in found)
    for script in ("instrument_segmentation.py", "train_comparative.py"):
        line = next(line for line in found if script in line)
        assert line.count("--epochs 3") == 1 and "--split video" in line and "--resume" not in line


def test_synthetic_videos_never_get_a_studys_name(tiny_prepared, capsys):
    videos = [str(film(Path("video01.mp4"))), str(film(Path("video80.mp4"), "synthetic laparoscopic scene"))]
    assert make_figures.main(["--data-root", str(tiny_prepared), "--dry-run", "--video-paths", *videos]) == 0
    text = "\n".join(commands(capsys))
    assert "synthetic_video01_generation_analysis" in text and "figures/video01_" not in text


def test_a_training_that_is_there_is_gone_on_with_unless_it_is_to_be_anew(tiny_prepared, capsys):
    Path("outputs").mkdir()
    Path("outputs/instrument_segmentation_model.pth").touch()
    for more, resumed in (([], True), (["--retrain"], False)):
        assert make_figures.main(["--data-root", str(tiny_prepared), "--dry-run", *more]) == 0
        line = next(line for line in commands(capsys) if "instrument_segmentation.py" in line)
        assert ("--resume" in line) == resumed


def test_mistakes_are_one_line(tiny_prepared, capsys):
    one = str(film(Path("video01.mp4")))
    data = ["--data-root", str(tiny_prepared)]
    Path("a").mkdir()
    other = str(film(Path("a/video01.mp4")))
    for options, message in (
        (["--video-paths", one, other], "give --data-root too"),
        (["--data-root", "nowhere"], "nowhere is no prepared folder"),
        ([*data, "--video-paths", one], "two videos or more"),
        ([*data, "--video-paths", one, other], "two videos are called video01"),
        ([*data, "--video-paths", one, other, "--names", "a"], "--names gives 1 for 2"),
        ([*data, "--video-paths", "no.mp4", other], "no.mp4: no such file"),
    ):
        assert make_figures.main(options) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not Path("outputs").exists()


def test_a_step_that_fails_or_makes_nothing_ends_the_run(monkeypatch, capsys):
    status = 0

    def pretended(command, check):
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(make_figures.subprocess, "run", pretended)
    step = plan.Step(["some_script.py", "--option", "a b"], (Path("figure.png"),))
    with pytest.raises(UserError, match=r"status 0 without making figure\.png"):
        make_figures.execute(step)
    assert "$ python some_script.py --option 'a b'" in capsys.readouterr().out
    Path("figure.png").touch()
    for status, kept in ((0, True), (3, True), (2, False), (1, False)):
        if kept:
            assert make_figures.execute(step)[1] == status
        else:
            with pytest.raises(UserError, match=f"status {status}; see its command"):
                make_figures.execute(step)


def test_the_list_says_what_made_each_figure_and_partial_results_are_status_3(capsys):
    Path("f.png").touch()
    args = make_figures.build_parser().parse_args([])
    done = [(plan.Step(["a.py"], (Path("f.png"),)), 0, 1.5), (plan.Step(["b.py", "--x"]), 3, 2.0)]
    assert make_figures.finish(args, done, 3.5) == 3
    listed = read_json(plan.FIGURES / "figures.json")
    assert listed["figures"] == {"f.png": {"script": "a.py", "command": "python a.py", "seconds": 1.5}}
    assert "Partial results, as said above: b.py" in capsys.readouterr().out


def test_the_single_frame_is_the_middle_example_of_the_results(tiny_prepared):
    names = ["video04_000001", "video04_000002", "video04_000003"]
    write_json(plan.FIGURES / "segmentation_results.json", {"frames": [{"name": name} for name in names]})
    step = next(step for step in plan.real_steps(tiny_prepared, {}, [], resume=False) if "FRAME" in step.command)
    command = step.of_frame(tiny_prepared).command
    assert str(tiny_prepared / "frames" / "video04_000002.png") in command
    assert str(tiny_prepared / "masks" / "video04_000002.png") in command and "MASK" not in command
    write_json(plan.FIGURES / "segmentation_results.json", {"frames": [{"name": "gone"}]})
    with pytest.raises(UserError, match="gone"):
        step.of_frame(tiny_prepared)


@pytest.mark.parametrize("kind", ["drawn", "photographic"])
def test_copies_are_small_and_replace_those_of_another_kind(kind):
    pixels = np.full((900, 1500, 3), 255, np.uint8)
    if kind == "photographic":
        pixels[:] = np.random.default_rng(0).integers(0, 256, pixels.shape)
    Image.fromarray(pixels).save("figure.png")
    folder = Path("copies")
    folder.mkdir()
    (folder / "figure.jpg").touch()
    (folder / "figure.png").touch()
    copy = copy_small(Path("figure.png"), folder)
    assert copy.name == {"drawn": "figure.png", "photographic": "figure.jpg"}[kind]
    assert [path.name for path in folder.iterdir()] == [copy.name]
    with Image.open(copy) as image:
        assert image.size == (WIDTH, 720)
