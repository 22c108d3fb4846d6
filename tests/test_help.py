"""Each script as its users start it: `--help` at once and without torch, a mistake in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT

SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))
ANSWERS = """
import contextlib, io, json, runpy, sys
answers = {}
for name, options in json.loads(sys.argv[1]).items():
    sys.argv, out, err, status = [name, *options], io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run = runpy.run_path if name.endswith(".py") else runpy.run_module
            run(name, run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
    heavy = [name for name in ("torch", "torchvision", "matplotlib") if name in sys.modules]
    answers[name] = [status, out.getvalue(), err.getvalue(), heavy]
print(json.dumps(answers))
"""

MISTAKES = {
    "instrument_segmentation.py": ["--data-root", "no-such-folder"],
    "train_comparative.py": ["--data-root", "no-such-folder"],
    "visualize_comparison.py": ["--comparison-dir", "no-such-folder"],
    "analyze_model.py": ["--mask-dir", "no-such-folder"],
    "write_report.py": ["--metrics", "no-such-folder/metrics.json"],
    "generate_masks_from_model.py": [
        "--video-path",
        "no-such-folder/video.mp4",
        "--model-path",
        "no-such-folder/w.pth",
    ],
    "export_model.py": ["--model-path", "no-such-folder/w.pth"],
    "analyze_generated_masks.py": ["--generated-dir", "no-such-folder"],
    "test_single_frame.py": ["--frame", "no-such-folder/frame.png"],
    "check_both_videos.py": ["--video-paths", "no-such-folder/a.mp4", "no-such-folder/b.mp4"],
    "compare_datasets.py": ["--models", "no-such-folder/w.pth", "--data-roots", "no-such-folder/a", "no-such-folder/b"],
    "compare_videos.py": ["--generated-dirs", "no-such-folder/a", "no-such-folder/b"],
    "audit_video.py": ["--generated-dir", "no-such-folder", "--models", "no-such-folder/w.pth"],
    "analyze_mask_statistics.py": ["--generated-dir", "no-such-folder"],
    "compare_labels.py": ["--mask-dir", "no-such-folder", "--second-mask-dir", "no-such-folder"],
    "audit_labels.py": ["--data-root", "no-such-folder", "--models", "no-such-folder/w.pth"],
    "segment_live.py": ["--source", "no-such-folder/video.mp4", "--model-path", "no-such-folder/w.pth"],
    "select_frames.py": ["--generated-dir", "no-such-folder"],
    "convert_annotations.py": ["--to", "coco", "--data-root", "no-such-folder", "--output", "a.json"],
    "review_masks.py": ["--generated-dir", "no-such-folder"],
    "prepare_full_dataset.py": ["--source-root", "no-such-folder"],
    "prepare_public_dataset.py": ["--dataset", "sisvse", "--source-root", "no-such-folder"],
    "prepare_cholecseg8k_assets.py": ["--frame-dir", "no-such-folder", "--mask-dir", "no-such-folder"],
}


def answers(commands, folder):
    """(status, stdout, stderr, heavy packages imported so far) of commands that run one after the other.

    They run in one process of their own, which imports what they share once.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ANSWERS, json.dumps(commands)], capture_output=True, text=True, encoding="utf-8",
        cwd=folder, env=environment, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {Path(name).name: found for name, found in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def helps():
    """What every script answers to `--help`."""
    return answers({name: ["--help"] for name in [*SCRIPTS, "surgseg.synthetic"]}, ROOT)


@pytest.mark.parametrize("name", [*SCRIPTS, "surgseg.synthetic"])
def test_help_is_printed_without_importing_torch(helps, name):
    status, out, err, heavy = helps[name]
    assert (status, err, heavy) == (0, "", []) and out.startswith("usage: ")


@pytest.mark.parametrize("name", [*SCRIPTS, "surgseg.synthetic"])
def test_every_option_states_its_default(helps, name):
    """Of each option that takes a value or is a switch; those that must be given are named in the usage line."""
    text = helps[name][1]
    usage, _, rest = text.partition("options:\n")
    required = {word for word in usage.split() if word.startswith("--")}
    current, described = None, {}
    for line in rest.splitlines():
        if line.startswith("  -"):
            current = line.split()[0].rstrip(",")
            described[current] = line
        elif current and line.startswith("    "):
            described[current] += line
    missing = [option for option, said in described.items() if "default" not in said and option not in required]
    assert [option for option in missing if option != "-h"] == []


@pytest.mark.parametrize("name", [*SCRIPTS, "surgseg.synthetic"])
def test_help_fits_a_terminal_of_100_columns(helps, name):
    assert [line for line in helps[name][1].splitlines() if len(line) > 100] == []


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory):
    """What every script answers to a mistake, and the folder where it was made."""
    folder = tmp_path_factory.mktemp("mistakes")
    return answers({str(ROOT / name): options for name, options in MISTAKES.items()}, folder), folder


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_on_stderr_and_status_2(mistakes, name):
    found, folder = mistakes
    status, _, stderr, _ = found[name]
    lines = stderr.strip().splitlines()
    assert status == 2 and len(lines) == 1, stderr
    assert lines[0].startswith("error: ") and "no-such-folder" in lines[0]
    assert not list(folder.rglob("*"))
