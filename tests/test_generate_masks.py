"""generate_masks_from_model.py from the command line to the folder."""

from __future__ import annotations

import json
import os
import re
import time

import av
import numpy as np
import pytest
import torch
from PIL import Image

import generate_masks_from_model as script
import surgseg.checkpoint
import surgseg.console
from models import build_model
from surgseg.files import LockedError, sole_writer
from surgseg.generate import many
from surgseg.generate.folder import read_generated
from surgseg.generate.writer import GeneratedWriter
from surgseg.labels import SCHEMES
from surgseg.masks import read_mask
from surgseg.video.inputs import VideoSource
from tests.films import SIDE, bright_checkpoint, damage, square_at, write_film
from tests.helpers import folder_bytes, shared_data


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No launcher around the tests, no git in them."""
    for name in [name for name in os.environ if name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(surgseg.console, "git_state", dict)


@pytest.fixture
def bright(monkeypatch):
    monkeypatch.setattr(surgseg.checkpoint, "load_checkpoint", lambda path, arch=None: bright_checkpoint())


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_film(tmp_path_factory.mktemp("films") / "Anna Example 1950.mp4", 60, b_frames=2)


def run(film, folder, *options):
    films = [str(path) for path in (film if isinstance(film, list) else [film])]
    given = ["--output-dir", str(folder), "--device", "cpu", "--backend", "torch"]
    return script.main(["--video-path", *films, *given, *options])


def copy_with_tags(film, path, **tags):
    """The same packets in a file that names its patient."""
    with av.open(str(film)) as source, av.open(str(path), "w") as output:
        output.metadata.update(tags)
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    return path


def test_the_square_is_found_where_it_was_drawn(bright, film, tmp_path, capsys):
    assert run(film, tmp_path / "out", "--frame-step", "5") == 0
    generated = read_generated(tmp_path / "out")
    assert [row.frame for row in generated.rows] == list(range(0, 60, 5))
    for row in generated.rows:
        rows, columns = np.nonzero(read_mask(generated.mask_path(row), 2))
        assert row.time_s == pytest.approx(row.frame / 25)
        if row.frame % 50 >= 45:
            assert row.coverage == 0 and not len(rows)
            continue
        left = square_at(row.frame, 160)
        found = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
        assert np.allclose(found, (40, 40 + SIDE, left, left + SIDE), atol=2)
        assert row.coverage == pytest.approx(SIDE**2 / (120 * 160), rel=0.2)
    shown = capsys.readouterr().out
    assert "Covered 2.4 s of 2.4 s" in shown
    assert f"python analyze_mask_statistics.py --generated-dir {tmp_path / 'out'}" in shown
    run_json = generated.run
    assert run_json["complete"] and run_json["frames_expected"] == run_json["frames_read"] == 60
    assert run_json["weights_data"] == "real" and run_json["video_data"] == "unmarked"


ALL_PARTS = ("--save", "masks", "overlays", "probabilities", "video")


def test_the_sources_name_stays_out_unless_asked_for(bright, film, tmp_path):
    tagged = copy_with_tags(film, tmp_path / "Anna Example 1950.mp4", title="Anna Example", comment="born 1950")
    run(tagged, tmp_path / "out", *ALL_PARTS)
    run([tagged, film], tmp_path / "several", *ALL_PARTS)
    for folder in ("out", "several"):
        written = folder_bytes(tmp_path / folder)
        assert len(written) > 6 and any(name.endswith("overlay.mp4") for name in written)
        name_of_patient = re.compile(rb"Anna|(?<![\w.])1950(?!\w)")  # the digits alone are in a hash by chance
        assert not [name for name, data in written.items() if name_of_patient.search(name.encode() + b" " + data)]
    run(film, tmp_path / "kept", "--keep-source-name")
    assert (tmp_path / "kept" / "masks" / "Anna_Example_1950_000030.png").is_file()
    assert json.loads((tmp_path / "kept" / "run.json").read_text())["source"]["name"] == film.name


def test_parts_of_an_operation_are_one_folder(bright, tmp_path, capsys):
    parts = [write_film(tmp_path / f"OP7_{number}.mp4", count) for number, count in enumerate((20, 30, 25))]
    whole = ("--join", "--frame-step", "4")
    assert run(parts, tmp_path / "out", *whole) == 0
    assert "One video of 3 parts: OP7_0.mp4, OP7_1.mp4, OP7_2.mp4" in capsys.readouterr().out
    generated = read_generated(tmp_path / "out")
    assert [row.frame for row in generated.rows] == list(range(0, 75, 4))
    assert np.allclose([row.time_s for row in generated.rows], np.arange(0, 75, 4) / 25)
    begins = [{"first_frame": first, "start_s": first / 25} for first in (0, 20, 50)]
    assert generated.run["video"]["parts"] == begins and generated.run["video"]["duration_s"] == 3
    assert b"OP7" not in b"".join(folder_bytes(tmp_path / "out").values())
    assert run(parts, tmp_path / "out", *whole) == 0 and "finished" in capsys.readouterr().out
    assert run([parts[1], parts[0], parts[2]], tmp_path / "out", *whole) == 2  # another operation
    assert run(parts, tmp_path / "named", *whole, "--keep-source-name") == 0
    assert json.loads((tmp_path / "named" / "run.json").read_text())["source"]["parts"][1] == "OP7_1.mp4"


def test_a_recording_that_is_not_read_ends_with_status_3(bright, film, tmp_path, capsys):
    path = tmp_path / "film.mp4"
    path.write_bytes(film.read_bytes() + film.read_bytes()[:100])
    for _ in range(2):  # also where the folder is finished
        assert run(path, tmp_path / "out") == 3
        assert "Partial: the last 100 bytes of the file were not read" in capsys.readouterr().err
    assert run([path, film], tmp_path / "both") == 3 and "damaged (" in capsys.readouterr().out


def test_part_of_the_video_is_said_to_be_a_part(bright, film, tmp_path, capsys):
    assert run(film, tmp_path / "out", "--frame-step", "1", "--max-frames", "15", "--frame-format", "none") == 0
    assert "Covered 0.6 s of 2.4 s" in capsys.readouterr().out
    assert not (tmp_path / "out" / "frames").exists()


def test_damage_ends_with_status_3_and_is_counted(bright, tmp_path, capsys):
    path = damage(write_film(tmp_path / "film.mp4", 100, gop=25), share=0.1)
    assert run(path, tmp_path / "out", "--frame-step", "1") == 3
    generated = read_generated(tmp_path / "out")
    assert generated.run["frames_lost"] == 100 - len(generated.rows) > 0
    assert generated.run["complete"] is True
    assert "lost to damage" in capsys.readouterr().err


def test_synthetic_weights_on_unmarked_video_are_announced(monkeypatch, film, tmp_path, capsys):
    monkeypatch.setattr(surgseg.checkpoint, "load_checkpoint", lambda path, arch=None: bright_checkpoint("synthetic"))
    run(film, tmp_path / "out")
    assert "Warning: these weights were trained on synthetic" in capsys.readouterr().out


def test_a_second_run_needs_overwrite(bright, film, tmp_path, capsys):
    assert run(film, tmp_path / "out") == 0
    before = (tmp_path / "out" / "frames.csv").read_text()
    assert run(film, tmp_path / "out") == 0
    assert "was finished before (2 frames); --overwrite replaces it" in capsys.readouterr().out
    assert run(film, tmp_path / "out", "--frame-step", "7") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run(film, tmp_path / "out", "--overwrite") == 0
    assert "is finished" not in capsys.readouterr().out
    assert (tmp_path / "out" / "frames.csv").read_text() == before


def test_a_bad_video_leaves_an_earlier_run_alone(bright, film, tmp_path):
    run(film, tmp_path / "out")
    before = (tmp_path / "out" / "frames.csv").read_text()
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"")
    assert run(bad, tmp_path / "out", "--overwrite") == 2
    assert (tmp_path / "out" / "frames.csv").read_text() == before


def test_every_part_is_saved_on_demand(bright, film, tmp_path):
    assert run(film, tmp_path / "out", "--frame-step", "20", "--frame-format", "png", *ALL_PARTS) == 0
    generated = read_generated(tmp_path / "out")
    row = generated.rows[1]
    with Image.open(generated.path("probabilities", row)) as image:
        assert image.mode == "L"
        probability = np.asarray(image)
    mask = read_mask(generated.mask_path(row), 2)
    assert np.array_equal(mask == 1, probability >= 128) and 300 < mask.sum() < 500
    with Image.open(generated.path("overlays", row)) as image, Image.open(generated.frame_path(row)) as frame:
        tinted = np.abs(np.asarray(image).astype(int) - np.asarray(frame)).max(2) > 30
    assert (tinted & (mask == 1)).sum() > 0.95 * mask.sum() and (tinted & (mask == 0)).sum() < 20
    with av.open(str(tmp_path / "out" / "overlay.mp4")) as video:
        shown = [
            (float(picture.pts * picture.time_base), picture.to_ndarray(format="rgb24")) for picture in video.decode()
        ]
    assert [time for time, _ in shown] == pytest.approx([0.0, 0.8, 1.6], abs=1e-4)
    left = square_at(20, 160)
    inside = shown[1][1][44:56, left + 4 : left + 16].astype(int)
    assert np.ptp(inside.mean((0, 1))) > 40  # coloured, where the frame is white
    assert not (tmp_path / "out" / "overlay.parts").exists()


def test_times_before_and_behind_are_left_out(bright, film, tmp_path, capsys):
    assert run(film, tmp_path / "out", "--frame-step", "1", "--start", "0:00.5", "--end", "0:01", "--name", "part") == 0
    generated = read_generated(tmp_path / "out")
    assert [row.frame for row in generated.rows] == list(range(13, 25))
    assert generated.rows[0].name == "part_000013" and "Covered 0.5 s of 2.4 s" in capsys.readouterr().out


def test_bursts_are_spread_over_the_video(bright, film, tmp_path):
    assert run(film, tmp_path / "out", "--sample", "spread", "--max-frames", "6", "--burst", "2") == 0
    assert [row.frame for row in read_generated(tmp_path / "out").rows] == [10, 11, 30, 31, 50, 51]


# --- several videos


@pytest.fixture
def three(film, tmp_path):
    """A good video, a bad one, another good one."""
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    return [film, tmp_path / "bad.mp4", write_film(tmp_path / "other.mp4", 35)]


def table(shown):
    """{video: (frames, detected, lost, state)} of the closing table."""
    lines = shown[shown.rindex("\nvideo ") :].strip().splitlines()[1:]
    cells = {line.split()[0]: [line[14:22], line[22:32], line[32:39], line[58:].rsplit(" (", 1)[0]] for line in lines}
    return {name: tuple(cell.strip() for cell in found) for name, found in cells.items()}


def test_a_bad_video_does_not_stop_the_others(bright, three, tmp_path, capsys):
    assert run(three, tmp_path / "out") == 3
    shown = capsys.readouterr()
    assert [len(read_generated(tmp_path / "out" / name).rows) for name in ("video_01", "video_03")] == [2, 2]
    assert not (tmp_path / "out" / "video_02").exists()
    assert "error: " in shown.err and "bad.mp4 is no video" in shown.err and "Traceback" not in shown.err
    found = table(shown.out)
    assert found["video_01"] == found["video_03"] == ("2", "100.0%", "0", "done")
    assert found["video_02"][:3] == ("-", "-", "-") and found["video_02"][3] == "failed, see above"
    assert run(three, tmp_path / "out") == 3
    assert table(capsys.readouterr().out)["video_01"] == ("2", "100.0%", "0", "finished before")


def test_whole_videos_end_well(bright, three, tmp_path):
    assert run([three[0], three[2]], tmp_path / "out", "--name", "or") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["or_01", "or_02"]
    assert read_generated(tmp_path / "out" / "or_02").rows[1].name == "or_02_000030"


def test_a_fault_in_one_video_does_not_stop_the_others(bright, three, tmp_path, capsys, monkeypatch):
    begin = GeneratedWriter.begin

    def faulty(writer, run):
        if writer.name == "video_01":
            raise ZeroDivisionError("a fault")
        begin(writer, run)

    monkeypatch.setattr(GeneratedWriter, "begin", faulty)
    assert run([three[0], three[2]], tmp_path / "out") == 3
    shown = capsys.readouterr()
    assert "Traceback" in shown.err and table(shown.out)["video_01"][3] == "failed, see above"
    assert len(read_generated(tmp_path / "out" / "video_02").rows) == 2


def test_a_video_that_is_added_leaves_the_others_their_folders(bright, three, tmp_path, capsys):
    folder = tmp_path / "films"
    folder.mkdir()
    for name, film in (("b.mp4", three[0]), ("c.mp4", three[2])):
        (folder / name).write_bytes(film.read_bytes())
    assert run([folder], tmp_path / "out") == 0
    write_film(folder / "a.mp4", 31)
    capsys.readouterr()
    assert run([folder], tmp_path / "out") == 0
    shown = table(capsys.readouterr().out)
    assert [shown[f"video_0{n}"][3] for n in (1, 2, 3)] == ["finished before", "finished before", "done"]


def test_only_bad_videos_are_a_failure(bright, three, tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert run([three[1], tmp_path / "empty.mp4"], tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()


def test_ctrl_c_ends_the_rest_too_and_the_same_command_goes_on(bright, three, tmp_path, capsys, monkeypatch):
    films = [three[0], three[2], three[0].parent / "third.mp4"]
    write_film(films[2], 31)
    commit, count = GeneratedWriter.commit, []

    def interrupted(writer, stored):
        commit(writer, stored)
        count.append(1)
        if writer.name == "video_02" and len(count) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(GeneratedWriter, "commit", interrupted)
        assert run(films, tmp_path / "out", "--frame-step", "20") == 3
    shown = table(capsys.readouterr().out)
    assert [shown[f"video_0{n}"][3] for n in (1, 2, 3)] == ["done", "stopped", "not begun"]
    assert run(films, tmp_path / "out", "--frame-step", "20") == 0
    shown = table(capsys.readouterr().out)
    assert [shown[f"video_0{n}"][0] for n in (1, 2, 3)] == ["3", "2", "2"]


def test_a_video_of_another_process_is_in_progress(bright, three, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")  # means nothing: the array may be over models
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "5")
    films = [three[0], three[2]]
    with sole_writer(tmp_path / "out" / "video_01"):
        assert run(films, tmp_path / "out") == 0
        shown = table(capsys.readouterr().out)
        assert [shown[name][3] for name in ("video_01", "video_02")] == ["in progress", "done"]
    assert run(films, tmp_path / "out") == 0
    shown = table(capsys.readouterr().out)
    assert [shown[name][::3] for name in ("video_01", "video_02")] == [("2", "done"), ("2", "finished before")]


@pytest.mark.parametrize("left_by", ["a killed process", "a finished process"])
def test_a_process_returns_to_the_videos_that_were_in_progress(bright, three, tmp_path, capsys, monkeypatch, left_by):
    films = [three[0], three[2]]
    assert run(films, tmp_path / "alone") == 0
    real, seen = many.generate, []

    def generate(source, folder, name, *rest):
        seen.append(name)
        if seen == ["video_01"]:
            raise LockedError("held")
        if left_by == "a finished process" and seen == ["video_01", "video_02"]:
            real(VideoSource(films[0]), folder.with_name("video_01"), "video_01", *rest)
        return real(source, folder, name, *rest)

    monkeypatch.setattr(many, "generate", generate)
    assert run(films, tmp_path / "out") == 0
    assert seen == ["video_01", "video_02", "video_01"]
    state = table(capsys.readouterr().out)["video_01"][3]
    assert state == ("done" if left_by == "a killed process" else "finished before")
    ours, alone = (folder_bytes(tmp_path / name / "video_01" / "masks") for name in ("out", "alone"))
    assert ours == alone


def test_under_torchrun_a_process_waits_for_the_others(bright, three, tmp_path, capsys, monkeypatch):
    held, waits = sole_writer(tmp_path / "out" / "video_01"), []
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr(many.time, "sleep", lambda seconds: waits.append(held.__exit__(None, None, None)))
    held.__enter__()
    assert run([three[0], three[2]], tmp_path / "out") == 0
    assert len(waits) == 1 and table(capsys.readouterr().out)["video_01"][3] == "done"


def test_overwriting_keeps_what_another_process_has_just_written(bright, three, tmp_path, capsys):
    films = [three[0], three[2]]
    assert run(films, tmp_path / "out") == 0
    later = time.time() + 3600
    os.utime(tmp_path / "out" / "video_02" / "run.json", (later, later))
    assert run(films, tmp_path / "out", "--overwrite") == 0
    shown = table(capsys.readouterr().out)
    assert [shown[name][3] for name in ("video_01", "video_02")] == ["done", "finished before"]


def test_a_share_can_be_named(bright, three, tmp_path, capsys):
    assert run([three[0], three[2]], tmp_path / "out", "--share", "2/2") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["video_02"]  # the smaller
    shown = capsys.readouterr().out
    assert "Share 2 of 2: 1 of 2 videos" in shown and table(shown)["video_01"][3] == "not begun"


# --- mistakes


def zero_bytes(root, film):
    (root / "empty.mp4").write_bytes(b"")
    return root / "empty.mp4", root / "out", "is empty (0 bytes)"


def no_video(root, film):
    (root / "notes.mp4").write_text("this is no video at all\n" * 99)
    return root / "notes.mp4", root / "out", "notes.mp4 is no video"


def no_file(root, film):
    return root / "nowhere.mp4", root / "out", "no such file"


def no_match(root, film):
    return root / "*.mkv", root / "out", "nothing matches it"


def output_is_a_file(root, film):
    (root / "taken").write_text("mine")
    return film, root / "taken", "taken is a file"


def output_below_a_file(root, film):
    (root / "taken").write_text("mine")
    return film, root / "taken" / "out", "taken is a file"


def output_of_others(root, film):
    (root / "others" / "masks").mkdir(parents=True)
    (root / "others" / "masks" / "a.png").write_bytes(b"x")
    return film, root / "others", "no generated run wrote (masks/a.png)"


@pytest.mark.parametrize(
    "make", [zero_bytes, no_video, no_file, no_match, output_is_a_file, output_below_a_file, output_of_others]
)
def test_bad_input_is_one_line_and_writes_nothing(bright, film, tmp_path, capsys, make):
    path, folder, message = make(tmp_path, film)
    before = folder_bytes(tmp_path)
    assert run(path, folder) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert folder_bytes(tmp_path) == before and not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_one_line(bright, film, tmp_path, capsys, monkeypatch):
    def refused(self, *args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refused)
    assert run(film, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "cannot create folder" in error and "Permission denied" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"format_version": 99, "state_dict": {}}, "weights format 99; this version reads 1"),
        ({"conv.weight": torch.zeros(1)}, "--arch unet|deeplabv3"),
        ([1, 2], "holds no weights (found a list)"),
    ],
)
def test_weights_of_another_kind_are_one_line(film, tmp_path, capsys, value, message):
    torch.save(value, tmp_path / "w.pth")
    assert run(film, tmp_path / "out", "--model-path", str(tmp_path / "w.pth")) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [(), ("--end", "70"), ("--sample", "spread")])
def test_a_start_behind_the_end_of_the_video_is_said(bright, film, tmp_path, capsys, options):
    assert run(film, tmp_path / "out", "--start", "60", *options) == 2
    error = capsys.readouterr().err
    assert "no frame lies between --start and --end" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


BAD_OPTIONS = [
    (("--frame-step", "0"), "--frame-step 0"),
    (("--max-frames", "0"), "--max-frames 0"),
    (("--batch-size", "-1"), "--batch-size -1"),
    (("--threshold", "1.5"), "between 0 and 1"),
    (("--threshold", "nan"), "between 0 and 1"),
    (("--image-rate", "0"), "--image-rate 0"),
    (("--image-rate", "nan"), "--image-rate nan"),
    (("--burst", "0"), "--burst 0"),
    (("--burst", "31"), "--burst 31 is more than --frame-step 30"),
    (("--sample", "spread", "--frame-step", "5"), "--frame-step belongs to --sample every"),
    (("--sample", "spread", "--max-frames", "3", "--burst", "4"), "--burst 4 is more than --max-frames 3"),
    (("--start", "20", "--end", "10"), "--end 10 s is not after --start 20 s"),
    (("--name", "a/b"), "--name"),
    (("--model-path", "nowhere.pth"), r"nowhere.pth; training writes one: python instrument_segmentation.py"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_a_mistake_is_one_line_and_writes_nothing(film, tmp_path, capsys, options, message):
    assert run(film, tmp_path / "out", *options) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_cuda_without_cuda_is_one_line(film, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    options = ["--video-path", str(film), "--output-dir", str(tmp_path / "out"), "--device", "cuda"]
    assert script.main(options) == 2
    assert "--device cuda" in capsys.readouterr().err


def test_real_clip_with_real_weights_file_gives_all_frames(tmp_path):
    clip = shared_data("cholec80_video01") / "clip.mp4"
    torch.manual_seed(0)
    weights = surgseg.checkpoint.Checkpoint(
        build_model("unet", 2, base_channels=4), "unet", {"base_channels": 4}, SCHEMES["binary"], (64, 112)
    )
    surgseg.checkpoint.save_checkpoint(tmp_path / "w.pth", weights)
    assert run(clip, tmp_path / "out", "--frame-step", "1", "--model-path", str(tmp_path / "w.pth")) == 0
    generated = read_generated(tmp_path / "out")
    assert [row.frame for row in generated.rows] == list(range(20))
    assert generated.run["video"]["width"] == 640 and generated.run["weights_data"] == "unknown"
