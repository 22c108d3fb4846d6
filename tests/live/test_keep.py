"""What is kept of a live picture: a recording that survives, a table, snapshots, the masks on the screen."""

from __future__ import annotations

import av
import numpy as np
import pytest
from PIL import Image

from surgseg.files import UserError, read_csv
from surgseg.labels import SCHEMES
from surgseg.live.capture import Captured
from surgseg.live.keep import COLUMNS, Recorder, ScreenLog, Snapshots, Table, fit_into
from surgseg.live.run import Predicted, Shown
from surgseg.live.screen import Controls, Screen
from surgseg.predict import Measures
from tests.films import draw


def shown(index: int, second: float, size=(120, 160)) -> Shown:
    image = draw(index, *size)
    ids = (image[..., 0] > 200).astype(np.uint8)
    frame = Captured(index, second - 0.02, image, 0.0, 0.0)
    found = Predicted(frame, ids, Measures(float(ids.mean()), 0.9, 0.1), 0.5, 0.0, 0.0)
    return Shown(image, second, found, (1.0, 2.0, 30.0, 4.0))


def frames_of(path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        return [(float(frame.pts * frame.time_base), frame.to_ndarray(format="rgb24")) for frame in container.decode()]


def test_a_recording_keeps_the_times_of_the_screen(tmp_path):
    seconds = [0.5, 0.54, 0.9]
    with Recorder(tmp_path / "a" / "o.mp4") as recorder:
        for index, second in enumerate(seconds):
            recorder(shown(index, second))
    found = frames_of(tmp_path / "a" / "o.mp4")
    assert np.diff([second for second, _ in found]) == pytest.approx(np.diff(seconds), abs=1e-3)
    assert np.abs(found[1][1].astype(int) - draw(1)).mean() < 8


@pytest.mark.parametrize("error", [KeyboardInterrupt, UserError])
def test_a_recording_stays_after_an_error(tmp_path, error):
    with pytest.raises(error), Recorder(tmp_path / "o.mp4") as recorder:
        for index in range(30):
            recorder(shown(index, index / 25))
        raise error
    assert len(frames_of(tmp_path / "o.mp4")) == 30
    assert [path.name for path in tmp_path.iterdir()] == ["o.mp4"]


def test_a_recording_can_be_read_while_it_is_written_as_after_a_kill(tmp_path):
    with Recorder(tmp_path / "o.mp4") as recorder:
        for index in range(100):
            recorder(shown(index, index / 25))
        (tmp_path / "killed.mp4").write_bytes((tmp_path / "o.mp4").read_bytes())
    assert 50 <= len(frames_of(tmp_path / "killed.mp4")) < 100


def test_a_picture_of_another_size_fits_into_the_recording(tmp_path):
    with Recorder(tmp_path / "o.mp4") as recorder:
        recorder(shown(0, 0.0))
        recorder(shown(1, 0.04, (80, 200)))
    assert [image.shape for _, image in frames_of(tmp_path / "o.mp4")] == [(120, 160, 3)] * 2
    fitted = fit_into(np.full((10, 40, 3), 9, np.uint8), (20, 20))
    assert (fitted[7:12] == 9).all() and fitted.sum() == 9 * 5 * 20 * 3


def test_earlier_recordings_and_tables_are_kept(tmp_path):
    for kind, name in ((Recorder, "o.mp4"), (Table, "t.csv")):
        (tmp_path / name).write_bytes(b"old")
        with pytest.raises(UserError, match=f"{name}: File exists"), kind(tmp_path / name):
            pass
        assert (tmp_path / name).read_bytes() == b"old"
        with pytest.raises(UserError, match="cannot"), kind(tmp_path / "o.mp4" / name):
            pass


def test_a_recording_without_a_picture_leaves_no_file(tmp_path):
    with Recorder(tmp_path / "o.mp4"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_table_has_a_row_for_each_shown_frame_at_once(tmp_path):
    with Table(tmp_path / "t.csv") as table:
        table(shown(3, 0.62))
        table(Shown(draw(0), 0.7))  # no signal
        rows = read_csv(tmp_path / "t.csv", COLUMNS)
    assert len(rows) == 1
    row = rows[0]
    assert (row["frame"], row["time_s"], row["shown_s"], row["threshold"]) == ("3", "0.600000", "0.620000", "0.5")
    assert float(row["latency_ms"]) == 37 and float(row["predict_ms"]) == 30
    assert float(row["coverage"]) == pytest.approx(400 / (120 * 160), abs=1e-6)


def test_a_snapshot_holds_the_frame_as_it_came(tmp_path, capsys):
    controls = Controls(0.5)
    keep = Snapshots(tmp_path, controls)
    keep(shown(0, 0.0))
    assert not list(tmp_path.iterdir())
    controls.press("s")
    keep(Shown(draw(0), 0.1))  # of a gap there is none
    keep(shown(7, 0.2))
    keep(shown(8, 0.3))
    frame, picture = sorted(tmp_path.iterdir())
    assert frame.name.endswith("_000007_frame.png") and picture.name.endswith("_000007_shown.jpg")
    assert (np.asarray(Image.open(frame)) == draw(7)).all()


def test_a_snapshot_that_cannot_be_written_does_not_end_the_view(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    controls = Controls(0.5, snapshot=True)
    Snapshots(tmp_path / "file", controls)(shown(7, 0.2))
    assert "no snapshot: cannot" in capsys.readouterr().err


def test_the_log_tells_what_was_on_the_screen_at_a_second():
    log = ScreenLog()
    assert log.at(5.0) is None and log.last_s == 0.0
    log(shown(1, 0.10))
    log(shown(2, 0.20))
    log(Shown(draw(0), 0.30))
    assert log.at(0.0999) is None and log.last_s == 0.30
    assert (log.at(0.1999) == (draw(1)[..., 0] > 200)).all()
    assert (log.at(0.20) == (draw(2)[..., 0] > 200)).all()
    assert log.at(0.31) is None


def test_the_notice_stands_below_every_picture_and_never_over_it():
    for width in (32, 160, 1920):
        found = shown(1, 0.0, (60, width)).prediction
        screen = Screen(SCHEMES["binary"], (60, width))
        picture = screen.draw(found, False, 0.012)
        assert (picture[:60] == found.frame.image).all() and picture.shape[1] == width
        assert picture[60:, : width // 2].max() > 60
        assert screen.draw_gap().shape == picture.shape
