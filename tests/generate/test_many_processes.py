"""Two processes that torchrun starts share the videos and close together."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from models import build_model
from surgseg.checkpoint import Checkpoint, save_checkpoint
from surgseg.generate.folder import read_generated
from surgseg.labels import SCHEMES
from tests.films import write_film
from tests.helpers import ROOT


@pytest.mark.slow
def test_a_failed_video_ends_no_other_process(tmp_path):
    torch.manual_seed(0)
    net = build_model("unet", 2, base_channels=4)
    save_checkpoint(tmp_path / "w.pth", Checkpoint(net, "unet", {"base_channels": 4}, SCHEMES["binary"], (32, 48)))
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "bad.mp4").write_bytes(
        b"no video"
    )  # the smallest: its process is ready long before the other
    write_film(tmp_path / "films" / "long.mp4", 400)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [
        str(ROOT / "generate_masks_from_model.py"),
        "--video-path",
        str(tmp_path / "films"),
        "--frame-step",
        "1",
    ]
    command += ["--model-path", str(tmp_path / "w.pth"), "--output-dir", str(tmp_path / "out"), "--backend", "torch"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        [*command, "--device", "cpu"], capture_output=True, text=True, timeout=240, check=False, env=environment
    )
    assert answer.returncode == 1, "torchrun's own status: one process ended with 3"
    assert answer.stdout.count("\nvideo ") == 1, "one closing table, of all videos"
    table = answer.stdout[answer.stdout.rindex("\nvideo ") :].splitlines()
    assert "failed" in table[2] and "bad.mp4" in table[2]
    assert table[3].split()[1] == "400" and "done" in table[3]
    generated = read_generated(tmp_path / "out" / "video_02")
    assert len(generated.rows) == 400 and generated.run["complete"]
