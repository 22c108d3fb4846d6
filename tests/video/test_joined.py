"""Several recordings read as one video."""

import numpy as np
import pytest

from surgseg.files import UserError
from surgseg.video.inputs import VideoSource, find_sources, join_sources
from surgseg.video.sampling import ALL_FRAMES, Sampling
from tests.films import damage, fast_start, write_film
from tests.helpers import save_image
from tests.video.test_reader import assert_square


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """20, 30 and 25 frames: 3 s."""
    root = tmp_path_factory.mktemp("parts")
    return [write_film(root / name, count) for name, count in (("1.mp4", 20), ("2.mkv", 30), ("10.mp4", 25))]


def join(paths):
    return VideoSource(paths[0], parts=tuple(paths))


def read(paths, sampling=ALL_FRAMES, skip=0):
    with join(paths).open(sampling) as reader:
        frames = list(reader.frames(skip))
        return frames, {**reader.describe(), **reader.counts(), "ended": reader.ended, "covered_s": reader.covered_s}


def test_numbers_and_times_continue(parts):
    frames, facts = read(parts)
    assert [frame.index for frame in frames] == list(range(75))
    assert np.allclose([frame.time_s for frame in frames], np.arange(75) / 25)
    for index, within in ((19, 19), (20, 0), (49, 29), (74, 24)):
        assert_square(frames[index]._replace(index=within))
    assert facts["parts"] == [{"first_frame": first, "start_s": first / 25} for first in (0, 20, 50)]
    assert facts["frames_expected"] == facts["frames_read"] == 75 and facts["frames_lost"] == 0
    assert facts["ended"] and facts["covered_s"] == pytest.approx(3) and facts["duration_s"] == pytest.approx(3)


def test_parts_without_a_header_are_read(tmp_path):
    """A raw stream tells its length only as it is read, so the number of frames is not known before."""
    raw = [write_film(tmp_path / name, count) for name, count in (("1.h264", 20), ("2.h264", 30))]
    frames, facts = read(raw)
    assert [frame.index for frame in frames] == list(range(50)) and frames[20].time_s == pytest.approx(0.8)
    assert facts["frames_read"] == 50 and facts["frames_expected"] is None


@pytest.mark.parametrize(
    ("sampling", "indices"),
    [
        (Sampling(step=30), [0, 30, 60]),
        (Sampling(step=30, burst=2, max_frames=4), [0, 1, 30, 31]),
        (Sampling("spread", None, 5), [7, 22, 37, 52, 67]),
        (Sampling(step=5, start_s=2.1, end_s=2.5), [55, 60]),
        (Sampling(step=10, end_s=0.5), [0, 10]),
    ],
)
def test_a_sample_is_of_the_whole(parts, sampling, indices):
    frames, _ = read(parts, sampling)
    assert [frame.index for frame in frames] == indices
    for skip in range(len(indices)):
        assert [frame.index for frame in read(parts, sampling, skip)[0]] == indices[skip:]


def test_damage_in_a_part_does_not_move_the_parts_behind_it(parts, tmp_path):
    hurt = damage(write_film(tmp_path / "hurt.mp4", 60, gop=10), share=0.1)
    frames, facts = read([parts[0], hurt, parts[2]])
    assert facts["frames_lost"] > 0 and frames[-1].index == 104 and frames[-1].time_s == pytest.approx(4.16)
    assert [entry["first_frame"] for entry in facts["parts"]] == [0, 20, 80]


def test_an_end_that_is_cut_off_a_part_leaves_its_place_free(parts, tmp_path):
    cut = fast_start(write_film(tmp_path / "cut.mp4", 100, gop=10))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 5])
    frames, facts = read([cut, parts[0]])
    assert facts["frames_lost"] > 30 and facts["parts"][1] == {"first_frame": 100, "start_s": 4.0}
    assert frames[-1].index == 119 and frames[-1].time_s == pytest.approx(4.76)


def test_a_reader_that_is_stopped_begins_no_other_part(parts):
    with join(parts).open() as reader:
        frames = reader.frames()
        next(frames)
        reader.stop()
        assert list(frames) == [] and not reader.ended
        assert len(reader.describe()["parts"]) == 1 and reader.counts()["frames_read"] >= 1


def test_a_part_of_another_size_or_rate_is_refused_by_name(parts, tmp_path):
    small = write_film(tmp_path / "small.mp4", 5, (60, 80))
    with pytest.raises(UserError, match=r"small\.mp4 is 80x60 pixels, the first part 160x120"):
        read([parts[0], small])
    fast = write_film(tmp_path / "fast.mp4", 30, ticks=lambda index: 20 * index)
    with pytest.raises(UserError, match=r"fast\.mp4 has 48\.\d* frames a second, the first part 25\.0"):
        read([parts[0], fast])


def test_a_folder_of_images_is_no_part(parts, tmp_path):
    save_image(tmp_path / "0.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UserError, match="is a folder of images: --join takes video files"):
        join_sources(find_sources([str(parts[0]), str(tmp_path)]))


def test_a_fingerprint_is_of_all_parts_in_their_order(parts):
    prints = {join(order).fingerprint() for order in (parts, parts[::-1], parts[:2])}
    assert len(prints | {VideoSource(parts[0]).fingerprint()}) == 4
    assert join(parts).size == sum(path.stat().st_size for path in parts)
