"""segment_live.py as its users start it: what it writes and prints, and what it says to mistakes."""

from __future__ import annotations

import contextlib
import re
import urllib.request

import av
import numpy as np
import pytest

import segment_live
from surgseg import checkpoint
from surgseg.files import read_csv, read_json
from surgseg.labels import SCHEMES
from surgseg.live import page, sources
from surgseg.live.capture import SourceLost
from surgseg.masks import write_mask
from tests.films import bright_checkpoint, draw, write_film


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Ten frames with a bright square, and its true masks."""
    folder = tmp_path_factory.mktemp("film")
    for index in range(10):
        write_mask(folder / "masks" / f"film_{index:06d}.png", (draw(index)[..., 0] > 200).astype(np.uint8), BINARY)
    return write_film(folder / "film.mp4", count=10)


BINARY = SCHEMES["binary"]


@pytest.fixture
def live(tmp_path, monkeypatch, capsys):
    """Run the script in an empty folder with a model that finds bright pixels: (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint, "load_checkpoint", lambda path, arch: bright_checkpoint())
    monkeypatch.setattr(page, "can_open_window", lambda: False)
    (tmp_path / "w.pth").write_bytes(b"")

    def run(source, *options):
        options = ("--model-path", "w.pth", "--backend", "torch", "--device", "cpu", *map(str, options))
        status = segment_live.main(["--source", str(source), *options])
        return (status, *capsys.readouterr())

    return run


def test_every_frame_is_recorded_and_measured(live, film, tmp_path):
    status, out, _ = live(
        film, "--as-fast-as-possible", "--record", "o.mp4", "--csv", "t.csv", "--json", "j.json", "--budget-ms", 60000
    )
    assert status == 0 and "Frames: 10 captured, 10 shown, 0 dropped" in out
    assert "60000 ms kept by 100.00% of the shown frames, 100.00% of all captured" in out
    found = read_json("j.json")
    assert found["schema"] == "surgseg.live/1" and found["frames"] == {"captured": 10, "shown": 10, "dropped": 0}
    assert (
        str(film.parent) not in (tmp_path / "j.json").read_text() and "o.mp4" not in (tmp_path / "j.json").read_text()
    )
    rows = read_csv("t.csv")
    assert [int(row["frame"]) for row in rows] == list(range(10))
    assert float(rows[0]["coverage"]) == pytest.approx(400 / (120 * 160), rel=0.1)
    with av.open("o.mp4") as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode()]
    assert len(pictures) == 10 and pictures[0][50, 20, 0] < 160 < pictures[0][50, 20, 2]  # the square is tinted blue


def test_what_latency_costs_is_scored(live, film):
    status, out, _ = live(film, "--ground-truth", film.parent, "--json", "j.json")
    accuracy = read_json("j.json")["accuracy"]
    offline, seen = (accuracy[name]["instrument_union"]["dice"] for name in ("offline", "as_seen"))
    assert status == 0 and offline > 0.95 and seen < offline - 0.01
    assert f"{offline:.4f}" in out and f"{seen:.4f}" in out


def test_the_recording_is_complete_before_the_scores_are_computed(live, film, monkeypatch):
    from surgseg.evaluation import as_seen

    def score(*given):
        with av.open("o.mp4") as container:
            assert len(list(container.decode())) == len(read_csv("t.csv"))
        raise as_seen.UserError("no scores")

    monkeypatch.setattr(as_seen, "score_as_seen", score)
    status, _, err = live(film, "--ground-truth", film.parent, "--record", "o.mp4", "--csv", "t.csv")
    assert status == 2 and err == "error: no scores\n"


def test_a_page_is_served_while_it_runs(live, film, monkeypatch):
    from surgseg.live.run import Live

    run, serving, address, pages = Live.run, page.serving, [], []

    @contextlib.contextmanager
    def noted(*given):
        with serving(*given) as found:
            address.append(found)
            yield found

    def fetch(self):
        run(self)
        pages.append(urllib.request.urlopen(address[0], timeout=10).read().decode())

    monkeypatch.setattr(page, "serving", noted)
    monkeypatch.setattr(Live, "run", fetch)
    status, out, _ = live(film, "--serve", "--as-fast-as-possible")
    assert status == 0 and f"Open {address[0]} in a browser on this machine" in out
    assert "Research use: not for clinical decisions" in pages[0] and re.search("Frames: 10 captured", out)


def test_a_lost_stream_that_is_not_opened_again_is_partial(live, monkeypatch):
    def frames(name, capture):
        for index in range(5):
            yield draw(index), capture.clock()
        raise SourceLost("no data for 5 s")

    monkeypatch.setattr(sources, "stream_frames", frames)
    status, _, err = live("rtsp://user:secret@10.0.0.5/ward", "--reconnect", 0, "--csv", "t.csv")
    assert status == 3 and err == "Partial: rtsp://10.0.0.5: no data for 5 s\n"


def test_a_recording_stays_when_a_stage_fails(live, film, monkeypatch):
    from surgseg.files import UserError
    from surgseg.live.keep import Table

    keep = Table.__call__

    def full(self, shown):
        keep(self, shown)
        if shown.prediction.frame.index == 5:
            raise UserError("cannot write t.csv: No space left on device")

    monkeypatch.setattr(Table, "__call__", full)
    status, out, err = live(film, "--as-fast-as-possible", "--record", "o.mp4", "--csv", "t.csv", "--json", "j.json")
    assert status == 2 and err == "error: cannot write t.csv: No space left on device\n"
    with av.open("o.mp4") as container:
        assert len(list(container.decode())) == 6
    assert read_json("j.json")["frames"]["shown"] == 6 and "6 shown" in out


def test_ctrl_c_ends_the_view_and_keeps_everything(live, film, monkeypatch):
    from surgseg.live.keep import Table

    keep = Table.__call__

    def interrupted(self, shown):
        keep(self, shown)
        if shown.prediction.frame.index == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Table, "__call__", interrupted)
    status, out, err = live(film, "--as-fast-as-possible", "--record", "o.mp4", "--csv", "t.csv")
    assert status == 0 and err == "" and "4 shown" in out
    with av.open("o.mp4") as container:
        assert len(list(container.decode())) == 4


MISTAKES = {
    "no window": ((), "OpenCV has no window here (no display, or a headless wheel): use --serve, --record or --csv"),
    "recording": (("--record", "o.avi"), "--record o.avi: a name that ends in .mp4 is needed"),
    "kept": (("--csv", "w.pth"), "w.pth exists and is kept: give another name"),
    "folder": (("--csv", "w.pth/t.csv"), "w.pth is a file"),
    "port": (("--serve", 70000), "--serve 70000: a port lies between 0 and 65535"),
    "budget": (("--json", "j", "--budget-ms", 0), "--budget-ms 0: milliseconds above 0 are needed"),
    "threshold": (("--json", "j", "--threshold", 2), "--threshold 2.0: a probability between 0 and 1 is needed"),
    "clock": (("--ground-truth", "x", "--as-fast-as-possible"), "leave out --as-fast-as-possible"),
    "truth": (("--ground-truth", "x", "--json", "j"), "x is not a folder"),
    "camera size": (("--camera-size", "0", "9"), "--camera-size: pixels above 0 are needed"),
    "reconnect": (("--reconnect", "-1"), "--reconnect -1: seconds, 0 or more"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(live, film, name, tmp_path):
    options, said = MISTAKES[name]
    status, _, err = live(film, *options)
    assert status == 2 and said in err and len(err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]


@pytest.mark.parametrize("option", [("--ground-truth", "."), ("--as-fast-as-possible",)])
def test_options_of_files_are_refused_for_a_camera(live, option):
    status, _, err = live(0, *option)
    assert status == 2 and f"{option[0]} needs a file as --source" in err
