"""The leak meter, through the script."""

import pytest

import train_comparative
from surgseg.files import read_json


@pytest.fixture(scope="module")
def data(make_prepared, tmp_path_factory):
    """4 videos of 12 frames: enough for a split in time."""
    return make_prepared(tmp_path_factory.mktemp("data"), dict.fromkeys(("v1", "v2", "v3", "v4"), ""), frames=12)


def options_of(data, folder, *more):
    small = "--arch unet --base-channels 2 --image-size 32 48 --epochs 1 --lr 0.01 --device cpu --batch-size 4".split()
    return ["--data-root", str(data), "--output-dir", str(folder / "out"), "--cache-dir", str(folder / "cache"),
            *small, *more]  # fmt: skip


@pytest.fixture(scope="module")
def meter(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("meter")
    assert train_comparative.main(options_of(data, folder, "--splits", "random", "time")) == 0
    return folder


def test_every_split_trains_on_equally_many_frames_and_is_scored_on_its_own_part(meter):
    result = read_json(meter / "out/leak_meter.json")
    rows = {row["split"]: row for row in result["splits"]}
    assert list(rows) == ["random", "time", "video"] and len({row["train_frames"] for row in rows.values()}) == 1
    assert rows["random"]["test_frames"] == 10 and rows["random"]["shared_videos"] > 0
    assert rows["video"]["shared_videos"] == 0 and "paired" not in rows["video"]
    for name, row in rows.items():
        own = read_json(meter / f"out/split_{name}_metrics.json")
        assert row["iou"] == own["mean_instrument"]["iou"] and row["test_frames"] == own["frames"]
    assert result["run"]["seed"] == 0 and result["data"] == "real"


def test_paired_numbers_come_from_the_same_frames(meter):
    rows = read_json(meter / "out/leak_meter.json")["splits"]
    for row in rows[:2]:
        pair = row["paired"]
        files = [f"split_{row['split']}_on_common{end}_metrics.json" for end in ("", "_video")]
        both = [read_json(meter / "out" / name) for name in files]
        assert both[0]["frames"] == both[1]["frames"] == pair["frames"] > 0
        assert pair["iou"] == [one["mean_instrument"]["iou"] for one in both]
        assert both[0]["weights"]["sha256"] != both[1]["weights"]["sha256"]


def test_finished_trainings_are_not_repeated(meter, data, capsys):
    weights = {path.name: path.read_bytes() for path in (meter / "out").glob("*.pth")}
    before = read_json(meter / "out/leak_meter.json")["splits"]
    assert train_comparative.main(options_of(data, meter, "--splits", "random", "time")) == 0
    printed = capsys.readouterr().out
    assert printed.count("finished: not trained again") == 3 and "Epoch 1" not in printed
    assert {path.name: path.read_bytes() for path in (meter / "out").glob("*.pth")} == weights
    assert read_json(meter / "out/leak_meter.json")["splits"] == before
    for words in ("Shared videos", "random against video, each on its own test part", "that both hold out"):
        assert words in printed


def test_an_interrupted_comparison_goes_on(data, tmp_path, monkeypatch, capsys):
    from surgseg.training.loop import Trainer

    run_epoch, calls = Trainer.run_epoch, []

    def stop(self, epoch, train):
        calls.append(epoch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run_epoch(self, epoch, train)

    argv = options_of(data, tmp_path, "--splits", "random", "--epochs", "2")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run_epoch", stop)
        assert train_comparative.main(argv) == 3
    assert train_comparative.main(argv) == 0
    printed = capsys.readouterr().out
    assert "Stopped early" in printed and printed.count("finished: not trained again") == 1
    assert (tmp_path / "out/leak_meter.json").is_file() and not list(tmp_path.rglob("*.resume.pth"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--splits", "clever"], "--splits clever: use"),
        (["--splits", "sp-tcn"], "needs videos"),
        (["--splits", "video", "--lr", "-1"], "--lr"),
        (["--splits", "video", "--folds", "2"], "--folds is for the comparison of models"),
        ([], "--arch unet is what --splits trains"),
    ],
)
def test_mistakes_are_one_line(data, tmp_path, capsys, more, words):
    assert train_comparative.main(options_of(data, tmp_path, *more)) == 2
    line = capsys.readouterr().err.strip()
    assert words in line and "\n" not in line
