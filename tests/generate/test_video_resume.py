"""A run that is killed, stopped or fails at any moment and is started again ends with the folder of a whole run."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import av
import pytest
import torch

import analyze_mask_statistics
import generate_masks_from_model as script
import surgseg.checkpoint
import surgseg.console
from models import build_model
from surgseg.checkpoint import Checkpoint, save_checkpoint
from surgseg.files import UserError
from surgseg.generate import writer as generated_writer
from surgseg.generate.folder import read_generated
from surgseg.labels import SCHEMES
from surgseg.predict import Predictor
from surgseg.reviews import Review, write_reviews
from tests.films import bright_checkpoint, damage, draw, write_film
from tests.helpers import ROOT, folder_bytes, save_image

SIZE = (64, 96)
EVERYTHING = "--save masks overlays probabilities video --frame-format png"


@pytest.fixture(autouse=True)
def quick(monkeypatch, same_bytes_each_time):
    """The square is found, without weights file and git."""
    bright = bright_checkpoint
    monkeypatch.setattr(
        surgseg.checkpoint, "load_checkpoint", lambda path, arch=None: replace(bright(), image_size=(32, 48))
    )
    monkeypatch.setattr(surgseg.console, "git_state", dict)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Videos by name: plain, of an uneven rate, damaged, images one of which is broken, or of another size."""
    root = tmp_path_factory.mktemp("films")
    write_film(root / "plain.mp4", 22, SIZE)
    write_film(root / "uneven.mp4", 22, SIZE, ticks=lambda index: index * 100 // 3 + index % 2)
    damage(write_film(root / "damaged.mp4", 40, SIZE, gop=8), at=0.4, share=0.15)
    parts = [write_film(root / f"part_{count}.mp4", count, SIZE).read_bytes() for count in (9, 13)]
    (root / "appended.mp4").write_bytes(b"".join(parts))
    for index in range(11):
        save_image(root / "images" / f"{index}.png", draw(index, *SIZE))
        save_image(root / "sizes" / f"{index}.png", draw(index, *(SIZE if index != 1 else (32, 48))))
    (root / "images" / "3.png").write_bytes(b"no image")
    return root


def run(film, folder, options=""):
    given = ["--video-path", str(film), "--output-dir", str(folder), "--device", "cpu", "--backend", "torch"]
    return script.main([*given, *options.split()])


def content(folder):
    """Every file below a folder, run.json without what may differ."""
    files = folder_bytes(folder)
    if "run.json" in files:
        files["run.json"] = {k: v for k, v in json.loads(files["run.json"]).items() if k not in ("timing", "run")}
    return files


def restore(files, folder):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


# --- what happens to a folder, step by step


class Watch:
    """Called before every act that changes a folder (its event's name, whether the main thread does it)."""

    def __init__(self):
        self.folder, self.act, self.lock, self.within = None, None, threading.RLock(), False
        sys.addaudithook(self._hook)  # for the rest of the process: there is no way to take it back

    def _hook(self, event, args):
        if self.act is None or event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "os.rmdir"):
            return
        if event == "open" and not (isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        if not isinstance(args[0], (str, Path)) or not str(args[0]).startswith(str(self.folder)):
            return
        with self.lock:
            if self.within or self.act is None:
                return
            self.within = True
            try:
                self.act(event, threading.current_thread() is threading.main_thread())
            finally:
                self.within = False

    @contextlib.contextmanager
    def over(self, folder, act):
        self.folder, self.act = folder, act
        try:
            yield
        finally:
            self.act = None


WATCH = Watch()


def states(folder, work):
    """(what `work` returns, the folder's content at each step of it: what a kill there would leave)."""
    found = [folder_bytes(folder)]

    def look(event, in_main):
        try:
            state = folder_bytes(folder)
        except FileNotFoundError:  # another thread is about to remove or rename it
            return
        if state != found[-1]:
            found.append(state)

    with WATCH.over(folder, look):
        status = work()
    return status, found[1:]


def some(items, count):
    """`count` of them, evenly, the first and last three among them."""
    chosen = {*range(3), *range(len(items) - 3, len(items))}
    chosen |= {round(place * (len(items) - 1) / (count - 1)) for place in range(count)}
    return [items[index] for index in sorted(chosen) if 0 <= index < len(items)]


def cut_tables(found):
    """States whose last line of the table was not written to its end."""
    found = [state for state in found if b'"complete": false' in state.get("run.json", b"")]
    with_rows = [state for state in found if state.get("frames.csv", b"").count(b"\n") >= 2]
    for cut, state in zip((1, 7, 40), some(with_rows, 6)[1::2]):
        yield {**state, "frames.csv": state["frames.csv"][:-cut]}
    for cut in (3, 60):  # within the header
        yield {**found[-1], "frames.csv": found[-1]["frames.csv"][:cut]}


def cut_images(found):
    """States in which an image is half-written, under its temporary name."""
    for state in some(found, 6):
        halves = {name: data[: len(data) // 2] for name, data in state.items() if ".part." in name}
        if halves:
            yield {**state, **halves}


CASES = {
    "masks": ("plain.mp4", "--frame-step 2 --batch-size 4", 0),
    "everything": ("plain.mp4", f"--frame-step 2 --batch-size 3 {EVERYTHING}", 0),
    "overlay video": (
        "uneven.mp4",
        "--frame-step 1 --max-frames 8 --batch-size 4 --save masks video --frame-format none",
        0,
    ),
    "spread in bursts": ("uneven.mp4", "--sample spread --max-frames 9 --burst 3 --batch-size 2 --save masks video", 0),
    "bursts": ("plain.mp4", "--frame-step 5 --burst 2 --start 0.1 --end 0.8 --batch-size 4 --save overlays", 0),
    "two recordings": ("appended.mp4", "--frame-step 2 --batch-size 4", 0),
    "damaged": ("damaged.mp4", "--frame-step 2 --batch-size 5", 3),
    "images": ("images", "--frame-step 1 --batch-size 4 --save masks video", 3),
}


def test_frames_that_an_earlier_run_scaled_are_counted(films, tmp_path):
    _, found = states(tmp_path / "whole", lambda: run(films / "sizes", tmp_path / "whole", "--frame-step 1"))
    folder = restore(found[-8], tmp_path / "killed")
    assert run(films / "sizes", folder, "--frame-step 1") == 0
    assert content(folder) == content(tmp_path / "whole")


@pytest.mark.parametrize(("film", "options", "status"), CASES.values(), ids=CASES)
def test_killed_anywhere_and_started_again_it_ends_as_a_whole_run(films, tmp_path, film, options, status):
    done, found = states(tmp_path / "whole", lambda: run(films / film, tmp_path / "whole", options))
    whole = content(tmp_path / "whole")
    assert done == status and len(found) > 15 and not [name for name in whole if "part" in name]
    kept = 0
    for number, state in enumerate([*some(found, 9), *cut_tables(found), *cut_images(found)]):
        folder = restore(state, tmp_path / f"{number}")
        assert run(films / film, folder, options) == status
        again = content(folder)
        assert sorted(again) == sorted(whole)
        assert again == whole, [name for name in whole if again[name] != whole[name]]
        timing = json.loads((folder / "run.json").read_text())["timing"]
        kept += timing["frames"] < whole["run.json"]["frames_written"]
    assert kept > 4  # they did go on, and not begin anew


def test_an_interrupted_run_goes_on_with_the_batches_of_a_whole_run(films, tmp_path, monkeypatch):
    run(films / "plain.mp4", tmp_path, "--frame-step 1 --batch-size 4")
    table, facts = tmp_path / "frames.csv", tmp_path / "run.json"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:7]))  # 6 of 22 frames
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "complete": False, "stopped": "Ctrl-C"}))
    batches, submit = [], Predictor.submit
    monkeypatch.setattr(
        Predictor, "submit", lambda self, frames, view: batches.append(len(frames)) or submit(self, frames, view)
    )
    assert run(films / "plain.mp4", tmp_path, "--frame-step 1 --batch-size 4") == 0
    assert batches == [4, 4, 4, 4, 2]  # from frame 4 on
    assert len(table.read_text().splitlines()) == 23


def test_an_overlay_video_without_masks_is_begun_anew(films, tmp_path):
    """Its earlier part cannot be drawn again, for nothing tells where the instruments were."""
    options = "--frame-step 2 --batch-size 3 --save video --frame-format none"
    _, found = states(tmp_path / "whole", lambda: run(films / "plain.mp4", tmp_path / "whole", options))
    folder = restore(found[-4], tmp_path / "killed")
    assert folder.joinpath("frames.csv").read_bytes().count(b"\n") > 5
    assert run(films / "plain.mp4", folder, options) == 0
    assert content(folder) == content(tmp_path / "whole")


def test_killed_again_and_again_it_still_ends_as_a_whole_run(films, tmp_path):
    options = f"--frame-step 2 --batch-size 3 {EVERYTHING}"
    run(films / "plain.mp4", tmp_path / "whole", options)
    folder, state = tmp_path / "0", {}
    for number in range(1, 6):  # each time one fifth of what is left to do is done
        _, found = states(folder, lambda folder=folder: run(films / "plain.mp4", folder, options))
        state = found[len(found) // 5]
        folder = restore(state, tmp_path / f"{number}")
    assert run(films / "plain.mp4", folder, options) == 0
    assert content(folder) == content(tmp_path / "whole")
    assert json.loads((folder / "run.json").read_text())["timing"]["sessions"] == 6


def test_an_unfinished_folder_can_be_read_wherever_its_run_was_killed(films, tmp_path):
    options = f"--frame-step 2 --batch-size 3 {EVERYTHING}"
    _, found = states(tmp_path / "whole", lambda: run(films / "plain.mp4", tmp_path / "whole", options))
    _, more = states(restore(found[70], tmp_path / "on"), lambda: run(films / "plain.mp4", tmp_path / "on", options))
    rows = []
    for number, state in enumerate([*found, *more]):
        try:
            rows.append(len(read_generated(restore(state, tmp_path / f"{number}")).rows))
        except UserError as error:  # nothing to read yet; but never a folder that contradicts itself
            assert any(words in str(error) for words in ("json missing", "csv missing", "holds no frames"))
    assert len(rows) > 60 and max(rows) == 11


def test_analyses_take_an_unfinished_folder(films, tmp_path, capsys):
    _, found = states(tmp_path / "whole", lambda: run(films / "plain.mp4", tmp_path / "whole", "--frame-step 2"))
    folder = restore(found[len(found) // 2], tmp_path / "killed")
    assert analyze_mask_statistics.main(["--generated-dir", str(folder)]) == 0
    assert "is unfinished (killed, or still running)" in capsys.readouterr().out
    assert run(films / "plain.mp4", folder, "--frame-step 2") == 0
    assert content(folder) == content(tmp_path / "whole")  # what was said of the part is gone with it


# --- Ctrl-C and errors: the program has a chance to tidy up


def interrupt_at(moment):
    count = 0

    def act(event, in_main):
        nonlocal count
        count += in_main
        if in_main and count == moment:
            raise KeyboardInterrupt

    return act


@pytest.mark.parametrize("options", ["--frame-step 2", f"--frame-step 2 --batch-size 3 {EVERYTHING}"])
def test_after_ctrl_c_anywhere_the_same_command_goes_on(films, tmp_path, capsys, options):
    acts = []
    with WATCH.over(tmp_path / "whole", lambda event, in_main: acts.append(1) if in_main else None):
        run(films / "plain.mp4", tmp_path / "whole", options)
    assert len(acts) > 10
    whole = content(tmp_path / "whole")
    capsys.readouterr()
    for moment in some(list(range(1, len(acts) + 1)), 10):
        folder = tmp_path / f"{moment}"
        with WATCH.over(folder, interrupt_at(moment)):
            status = run(films / "plain.mp4", folder, options)
        error = capsys.readouterr().err
        assert status in (3, 130) and "Ctrl-C" in error and error.count("\n") == 1
        assert run(films / "plain.mp4", folder, options) == 0
        assert content(folder) == whole


def fail_at(moment, events=("open", "os.mkdir", "os.rename")):
    count = 0

    def act(event, in_main):
        nonlocal count
        count += event in events
        if event in events and count >= moment:
            raise OSError(errno.ENOSPC, "No space left on device")

    return act


@pytest.mark.parametrize("options", ["--frame-step 2", f"--frame-step 2 --batch-size 3 {EVERYTHING}"])
def test_after_a_full_disk_the_same_command_goes_on(films, tmp_path, capsys, options):
    acts = []
    with WATCH.over(tmp_path / "whole", lambda event, in_main: acts.append(event)):
        run(films / "plain.mp4", tmp_path / "whole", options)
    moments = len([act for act in acts if act in ("open", "os.mkdir", "os.rename")])
    whole = content(tmp_path / "whole")
    capsys.readouterr()
    for moment in some(list(range(1, moments + 1)), 10):
        folder = tmp_path / f"{moment}"
        with WATCH.over(folder, fail_at(moment)):  # and full it stays
            assert run(films / "plain.mp4", folder, options) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "No space left" in error and error.startswith("error: cannot ")
        assert run(films / "plain.mp4", folder, options) == 0
        assert content(folder) == whole


def test_a_table_that_finds_no_room_ends_the_run_and_a_later_one_goes_on(films, tmp_path, capsys):
    resource = pytest.importorskip("resource")
    run(films / "plain.mp4", tmp_path / "whole", "--frame-step 1 --save video --frame-format none")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    options = "--frame-step 1 --frame-format none"
    run(films / "plain.mp4", tmp_path / "masks", options)
    table = (tmp_path / "masks" / "frames.csv").stat().st_size
    assert table > 1300 > max(path.stat().st_size for path in (tmp_path / "masks" / "masks").iterdir())
    capsys.readouterr()
    begin = generated_writer.GeneratedWriter.begin

    def then_full(writer, run):
        begin(writer, run)
        resource.setrlimit(resource.RLIMIT_FSIZE, (table - 100, before[1]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generated_writer.GeneratedWriter, "begin", then_full)
        try:
            assert run(films / "plain.mp4", tmp_path / "out", options) == 2
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    error = capsys.readouterr().err
    assert "cannot write" in error and "frames.csv" in error and error.count("\n") == 1
    assert run(films / "plain.mp4", tmp_path / "out", options) == 0
    assert content(tmp_path / "out") == content(tmp_path / "masks")


# --- finished folders, other settings, --overwrite


def stamps(folder):
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.rglob("*")}


@pytest.mark.parametrize(("film", "status"), [("plain.mp4", 0), ("damaged.mp4", 3), ("images", 3)])
def test_a_finished_folder_is_left_alone(films, tmp_path, capsys, film, status):
    options = "--frame-step 3 --save masks video"
    assert run(films / film, tmp_path / "out", options) == status
    before = stamps(tmp_path / "out")
    capsys.readouterr()
    assert run(films / film, tmp_path / "out", f"{options} --batch-size 2") == status
    shown = capsys.readouterr()
    assert "was finished before" in shown.out and ("lost to damage" in shown.err) == (status == 3)
    assert stamps(tmp_path / "out") == before


@pytest.fixture(params=["finished", "unfinished"])
def earlier(request, films, tmp_path):
    """The folder of an earlier run of `plain.mp4`."""
    folder = tmp_path / "out"
    run(films / "plain.mp4", folder, "--frame-step 2")
    if request.param == "unfinished":
        with WATCH.over(tmp_path / "killed", interrupt_at(30)):
            run(films / "plain.mp4", tmp_path / "killed", "--frame-step 2")
        return tmp_path / "killed"
    return folder


OTHERS = [
    ("uneven.mp4", "--frame-step 2", "a run of another video"),
    ("plain.mp4", "--frame-step 3", "step 2 burst 1 start_s 0.0 there, mode every step 3"),
    ("plain.mp4", "--frame-step 2 --threshold 0.4", "threshold: 0.5 there, 0.4 now"),
    ("plain.mp4", "--frame-step 2 --view auto", "--view: full there, auto now"),
    ("plain.mp4", "--frame-step 2 --name other", "--name: video there, other now"),
    ("plain.mp4", "--frame-step 2 --save masks overlays", "--frame-format or --save"),
    ("plain.mp4", "--frame-step 2 --save masks video", "--save video: False there, True now"),
]


@pytest.mark.parametrize(("film", "options", "message"), OTHERS)
def test_another_run_in_the_folder_is_one_clear_line(films, earlier, capsys, film, options, message):
    before = stamps(earlier)
    capsys.readouterr()
    assert run(films / film, earlier, options) == 2
    error = capsys.readouterr().err
    assert message in error and "--overwrite" in error and error.count("\n") == 1
    assert stamps(earlier) == before


AGAIN = [("plain.mp4", "--frame-step 2 --overwrite"), *(one[:2] for one in OTHERS[:2])]


@pytest.mark.parametrize(("film", "options"), AGAIN)
def test_a_review_is_never_given_other_frames(films, earlier, capsys, film, options):
    write_reviews(earlier, [Review("video_000000", "extra")])
    before = stamps(earlier)
    capsys.readouterr()
    assert run(films / film, earlier, options) == 2
    error = capsys.readouterr().err
    assert "choose another --output-dir" in error and "--overwrite" not in error and error.count("\n") == 1
    assert stamps(earlier) == before


@pytest.mark.parametrize("lost", ["run.json", "frames.csv"])
def test_reviewed_masks_stay_where_a_table_is_lost(films, tmp_path, capsys, lost):
    run(films / "plain.mp4", tmp_path / "out", "--frame-step 2")
    (tmp_path / "out" / "reviewed").mkdir()
    (tmp_path / "out" / lost).unlink()
    status = run(films / "plain.mp4", tmp_path / "out", "--frame-step 2")
    assert status == (2 if lost == "run.json" else 0)  # the same run writes the same table again
    assert (tmp_path / "out" / "reviewed").is_dir()


def test_an_unfinished_run_goes_on_beside_its_review(films, earlier):
    write_reviews(earlier, [Review("video_000000", "extra")])
    review = (earlier / "review.csv").read_bytes()
    assert run(films / "plain.mp4", earlier, "--frame-step 2") == 0
    assert read_generated(earlier).run["complete"] and (earlier / "review.csv").read_bytes() == review


def test_other_weights_are_one_clear_line(films, earlier, capsys, monkeypatch):
    others = replace(bright_checkpoint(), image_size=(32, 48), sha256="1" * 64)
    monkeypatch.setattr(surgseg.checkpoint, "load_checkpoint", lambda path, arch=None: others)
    before = stamps(earlier)
    capsys.readouterr()
    assert run(films / "plain.mp4", earlier, "--frame-step 2") == 2
    assert "other weights: 000000000000 there, 111111111111 now" in capsys.readouterr().err
    assert stamps(earlier) == before


def test_the_rate_of_images_is_a_setting_too(films, tmp_path, capsys):
    with WATCH.over(tmp_path / "out", interrupt_at(20)):
        run(films / "images", tmp_path / "out", "--frame-step 1")
    assert run(films / "images", tmp_path / "out", "--frame-step 1 --image-rate 10") == 2
    assert "--image-rate: 25.0 there, 10.0 now" in capsys.readouterr().err


OVERWRITTEN = {
    "the same": f"--frame-step 2 {EVERYTHING}",
    "other settings": "--frame-step 3 --save masks --frame-format none",
    "other name": "--frame-step 2 --name other --save masks video",
}


@pytest.mark.parametrize("options", OVERWRITTEN.values(), ids=OVERWRITTEN)
def test_overwriting_may_be_killed_anywhere(films, tmp_path, capsys, options):
    film, old = films / "plain.mp4", f"--frame-step 2 {EVERYTHING}"
    run(film, tmp_path / "old", old)
    run(film, tmp_path / "new", options)
    whole = {"old": content(tmp_path / "old"), "new": content(tmp_path / "new")}
    folder = restore(folder_bytes(tmp_path / "old"), tmp_path / "out")
    status, found = states(folder, lambda: run(film, folder, f"{options} --overwrite"))
    assert status == 0 and content(folder) == whole["new"]
    for number, state in enumerate(some(found, 8)):
        folder = restore(state, tmp_path / f"{number}")
        assert run(film, folder, f"{options} --overwrite") == 0
        assert content(folder) == whole["new"]
        # without --overwrite it is one run or the other, or it is refused; never a mixture
        for which, same in (("old", old), ("new", options)):
            folder = restore(state, tmp_path / f"{number}_{which}")
            before = content(folder)
            assert run(film, folder, same) in (0, 2)
            assert content(folder) in (whole[which], before)


def test_overwriting_an_unfinished_run_begins_anew(films, tmp_path):
    run(films / "plain.mp4", tmp_path / "whole", "--frame-step 2")
    with WATCH.over(tmp_path / "out", interrupt_at(20)):
        run(films / "plain.mp4", tmp_path / "out", "--frame-step 2")
    assert run(films / "plain.mp4", tmp_path / "out", "--frame-step 2 --overwrite") == 0
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    timing = json.loads((tmp_path / "out" / "run.json").read_text())["timing"]
    assert (timing["sessions"], timing["frames"]) == (1, 11)


@pytest.mark.parametrize("options", ["", "--overwrite"])
def test_files_of_others_are_refused(films, earlier, capsys, options):
    (earlier / "masks" / "mine.png").write_bytes(b"x")
    before = stamps(earlier)
    capsys.readouterr()
    assert run(films / "plain.mp4", earlier, f"--frame-step 2 {options}") == 2
    assert "no generated run wrote (masks/mine.png)" in capsys.readouterr().err
    assert stamps(earlier) == before


# --- a process that really dies


def times(video):
    with av.open(str(video)) as container:
        return [frame.pts * frame.time_base for frame in container.decode()]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.slow
def test_a_killed_process_is_started_again_until_it_is_done(tmp_path, monkeypatch):
    monkeypatch.undo()  # real weights
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as in this process: the last digits depend on it
    torch.manual_seed(0)
    net = build_model("unet", 2, base_channels=4)
    save_checkpoint(tmp_path / "w.pth", Checkpoint(net, "unet", {"base_channels": 4}, SCHEMES["binary"], (96, 128)))
    film = write_film(tmp_path / "film.mp4", 280, SIZE)
    options = ["--video-path", str(film), "--model-path", str(tmp_path / "w.pth"), "--frame-step", "1"]
    options += ["--device", "cpu", "--backend", "torch", "--save", "masks", "video", "--batch-size", "7"]
    command = [sys.executable, str(ROOT / "generate_masks_from_model.py"), *options]

    def rows():
        with contextlib.suppress(FileNotFoundError):
            return (tmp_path / "out" / "frames.csv").read_bytes().count(b"\n")
        return 0

    chance = random.Random(4)
    for aim in (chance.randint(2, 120), chance.randint(140, 270)):
        with subprocess.Popen([*command, "--output-dir", str(tmp_path / "out")], stdout=subprocess.DEVNULL) as process:
            while rows() < aim and process.poll() is None:
                time.sleep(0.002)
            process.kill()
        assert process.returncode == -signal.SIGKILL
    assert 140 <= rows() <= 281
    for folder in ("out", "whole"):
        assert script.main([*options, "--output-dir", str(tmp_path / folder)]) == 0
    found, whole = content(tmp_path / "out"), content(tmp_path / "whole")
    assert times(tmp_path / "out" / "overlay.mp4") == times(tmp_path / "whole" / "overlay.mp4")
    del found["overlay.mp4"], whole["overlay.mp4"]  # byte by byte: in the tests above
    assert found == whole and len(whole) == 2 * 280 + 3
    assert json.loads((tmp_path / "out" / "run.json").read_text())["timing"]["sessions"] == 3
