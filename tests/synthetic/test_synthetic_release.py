"""The synthetic release on disk: tree, masks, videos, resuming, refusals."""

from __future__ import annotations

import av
import numpy as np
import pytest
from PIL import Image

from surgseg.files import UserError, read_json
from surgseg.frames import read_frame
from surgseg.masks import decode_codes
from surgseg.synthetic.__main__ import build_parser, main
from surgseg.synthetic.release import VIDEO_COMMENT, clip_starts, frame_paths, video_path, write_release
from surgseg.synthetic.scenes import draw_frame

SIZE = (48, 86)


def write(root, **changes):
    numbers = {"videos": 2, "clips": 2, "frames": 3, "size": SIZE, "seed": 5, "workers": 1, **changes}
    return write_release(root, **numbers)


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.png")}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic") / "stream"
    return root, write(root)


def test_tree_is_that_of_cholecseg8k(release):
    root, done = release
    assert done["frames"] == done["drawn"] == 12
    assert sorted(path.name for path in root.iterdir()) == ["synthetic.json", "video01", "video02", "videos"]
    assert sorted(path.name for path in (root / "video02").iterdir()) == ["video02_00000", "video02_00240"]
    assert sorted(path.name for path in (root / "video01" / "video01_00240").iterdir()) == [
        f"frame_{number}_endo{kind}.png" for number in (240, 241, 242) for kind in ("", "_watershed_mask")
    ]
    marker = read_json(root / "synthetic.json")
    assert (marker["data"], marker["seed"], marker["domain"], marker["size"]) == ("synthetic", 5, "aligned", list(SIZE))


def test_files_hold_what_was_drawn(release):
    root, _ = release
    frame_file, mask_file = frame_paths(root, 2, 240, 241)
    colour, codes = draw_frame(5, 2, 241, SIZE)
    assert np.array_equal(read_frame(frame_file), colour)
    assert np.array_equal(decode_codes(mask_file)[0], codes)
    with Image.open(mask_file) as image:
        assert image.mode == "RGB"


def test_mp4_has_all_frames_and_says_synthetic(release):
    root, done = release
    assert done["videos"] == [video_path(root, 1), video_path(root, 2)]
    with av.open(str(video_path(root, 2))) as container:
        assert VIDEO_COMMENT in container.metadata["comment"]
        assert container.streams.video[0].average_rate == 25
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 6
    expected = read_frame(frame_paths(root, 2, 240, 241)[0]).astype(int)
    errors = [np.abs(frame.astype(int) - expected).mean() for frame in frames]
    assert int(np.argmin(errors)) == 4 and errors[4] < 10


def test_processes_write_the_same_bytes(release, tmp_path):
    write(tmp_path / "pool", workers=2)
    assert contents(tmp_path / "pool") == contents(release[0])


def test_second_run_finishes_what_is_missing_only(tmp_path):
    write(tmp_path, videos=1, clips=1)
    kept, lost = frame_paths(tmp_path, 1, 0, 0)[0], frame_paths(tmp_path, 1, 0, 2)[1]
    before, wanted = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    assert write(tmp_path, videos=1, clips=1)["drawn"] == 1
    assert kept.stat().st_mtime_ns == before and lost.read_bytes() == wanted
    assert write(tmp_path, videos=1, clips=1)["drawn"] == 0


def test_other_parameters_in_the_same_folder_are_refused(release):
    with pytest.raises(UserError, match=r"another synthetic stream .*seed 5 instead of 6"):
        write(release[0], seed=6)


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "video01").mkdir()
    with pytest.raises(UserError, match="not empty"):
        write(tmp_path)


def test_clips_begin_apart():
    assert clip_starts(3, 16) == [0, 240, 480]
    assert clip_starts(2, 300) == [0, 320]


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"frames": 0}, "frames"), ({"size": (10, 10)}, "too small"), ({"seed": -1}, "seed"), ({"domain": "x"}, "domain")],
)
def test_bad_numbers_write_nothing(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        write(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_command_line(tmp_path, capsys):
    arguments = ["--output-root", str(tmp_path / "out"), "--videos", "1", "--clips", "1", "--frames", "2"]
    assert main([*arguments, "--size", "48", "86", "--seed", "3", "--workers", "1"]) == 0
    assert "2 frames" in capsys.readouterr().out
    assert len(contents(tmp_path / "out")) == 4


def test_command_line_reports_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    for extra in (["--size", "8", "8"], ["--output-root", str(tmp_path / "file")]):
        assert main(["--output-root", str(tmp_path / "out"), "--videos", "1", *extra]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1


def test_preset_leaves_room_for_own_numbers():
    args = build_parser().parse_args(["--output-root", "x", "--preset", "demo", "--clips", "4"])
    assert args.preset == "demo" and args.clips == 4 and args.videos is None
