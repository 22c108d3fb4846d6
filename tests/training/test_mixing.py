"""Epochs drawn from frames of several roles, and the split of a reviewed folder."""

from dataclasses import replace

import numpy as np
import pytest

from surgseg.data.dataset import Sample
from surgseg.files import UserError
from surgseg.training.mixing import EPOCH_FRAMES, epoch_order, find_mixture, without_copies_of_audit
from surgseg.training.split import SplitConfig, choose_split
from tests.folders import texture

ROWS = np.arange(6)


def samples(*roles, video="new"):
    part = {"audit": "test"}
    return [
        Sample(
            f"f{number}", None, None, "old" if role == "mixed" else video, number, part.get(role, "train"), role=role
        )
        for number, role in enumerate(roles)
    ]


def test_a_prepared_folder_is_passed_over_once():
    assert find_mixture(samples(*[""] * 6), ROWS, 0.5) is None
    order = epoch_order(ROWS, None, 3, 1)
    assert sorted(order) == list(ROWS) and list(order) == list(np.random.default_rng([3, 1]).permutation(ROWS))


def test_shares_hold_in_the_epoch_and_in_each_batch():
    mixture = find_mixture(samples("reviewed", "reviewed", "pseudo", "pseudo", "mixed", "mixed"), ROWS, 0.5)
    order = epoch_order(ROWS, mixture, 0, 1)
    assert len(order) == EPOCH_FRAMES
    assert [np.isin(order, pair).mean() for pair in ((0, 1), (2, 3), (4, 5))] == [0.25, 0.25, 0.5]
    for batch in order.reshape(-1, 6):
        assert abs(np.isin(batch, (4, 5)).sum() - 3) <= 1


def test_epochs_differ_and_repeat_by_seed():
    mixture = find_mixture(samples(*["reviewed"] * 3, *["mixed"] * 3), ROWS, 0.5)
    first, second, again = (list(epoch_order(ROWS, mixture, 0, epoch)) for epoch in (1, 2, 1))
    assert first == again != second


def test_many_labelled_frames_make_a_longer_epoch():
    roles = ["reviewed"] * 100 + ["mixed"]
    mixture = find_mixture(samples(*roles), np.arange(101), 0.75)
    order = epoch_order(np.arange(101), mixture, 0, 1)
    assert len(order) == mixture.frames == 100 and np.isin(order, 100).sum() == 75


def test_the_audit_is_the_test_part_and_mixed_frames_train():
    split = choose_split(SplitConfig(), samples("reviewed", "pseudo", "audit", "mixed"))
    assert split.name == "review"
    assert [list(split.parts[part]) for part in ("train", "val", "test")] == [[0, 1, 3], [], [2]]


def test_no_option_makes_the_audit_train():
    with pytest.raises(UserError, match="frames of the audit"):
        choose_split(SplitConfig(split="random"), samples(*["reviewed"] * 3, *["audit"] * 40))


def test_a_video_that_is_held_out_cannot_be_mixed_in():
    own = [replace(sample, video=f"v{number}", part="") for number, sample in enumerate(samples("", "", ""))]
    mixed = Sample("m", None, None, "v2", 0, "train", role="mixed")
    with pytest.raises(UserError, match="--mix-with: v2 would train"):
        choose_split(SplitConfig(test_videos=["v2"]), [*own, mixed])


def test_frames_of_the_same_name_cannot_be_mixed():
    with pytest.raises(UserError, match="same name"):
        choose_split(SplitConfig(), [*samples("reviewed"), replace(samples("mixed")[0], name="f0")])


def test_copies_of_the_audit_do_not_train(capsys):
    frames = np.stack([np.dstack([texture((64, 64), seed)] * 3) for seed in (0, 1, 2, 1)])
    parts = samples("reviewed", "audit", "mixed", "mixed")
    split = without_copies_of_audit(choose_split(SplitConfig(), parts), parts, frames)
    assert list(split.parts["train"]) == [0, 2] and "f3" not in split.assignment
    assert "1 training frames look like frames of the audit" in capsys.readouterr().out
