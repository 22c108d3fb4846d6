"""Synthetic frames: purity, codes, what they contain."""

from __future__ import annotations

import concurrent.futures
import hashlib

import numpy as np
import pytest

from surgseg.files import UserError
from surgseg.labels import CHOLECSEG8K
from surgseg.synthetic.scenes import draw_frame

SIZE = (64, 112)
KNOWN = {row.code for row in CHOLECSEG8K} | {255}


def digest(arguments: tuple) -> str:
    colour, codes = draw_frame(*arguments)
    return hashlib.sha256(colour.tobytes() + codes.tobytes()).hexdigest()


def instrument_counts(video: int, domain: str = "aligned") -> np.ndarray:
    """Pixels of (grasper, hook) in frames spread over a video."""
    rows = [draw_frame(7, video, frame, SIZE, domain)[1] for frame in range(0, 1500, 50)]
    return np.array([[(codes == 31).sum(), (codes == 32).sum()] for codes in rows])


def test_same_bytes_in_any_order_and_thread():
    jobs = [
        (3, video, frame, SIZE, domain) for video in (1, 2, 3) for frame in (0, 90) for domain in ("aligned", "shifted")
    ]
    forward = [digest(job) for job in jobs]
    backward = [digest(job) for job in reversed(jobs)][::-1]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(digest, jobs))
    assert forward == backward == together
    assert len(set(forward)) == len(jobs)


def test_arrays_are_rgb_and_known_codes():
    for video in range(1, 7):
        colour, codes = draw_frame(1, video, 40, SIZE)
        assert colour.shape == (*SIZE, 3) and colour.dtype == np.uint8
        assert codes.shape == SIZE and codes.dtype == np.uint8
        assert set(np.unique(codes)) <= KNOWN


def test_last_row_and_column_are_void_and_void_is_rare_elsewhere():
    shares = []
    for video in range(1, 7):
        codes = draw_frame(1, video, 0, SIZE)[1]
        assert (codes[-1] == 255).all() and (codes[:, -1] == 255).all()
        shares.append((codes[:-1, :-1] == 255).mean())
    assert max(shares) < 0.1
    assert max(shares) > 0


def test_frames_with_none_one_and_both_instruments_occur():
    counts = np.concatenate([instrument_counts(video) for video in (1, 2, 3)])
    present = counts > 0
    assert (~present.any(axis=1)).any()
    assert present.any(axis=0).all()
    assert present.all(axis=1).any()
    assert 0.02 < counts.sum() / (len(counts) * SIZE[0] * SIZE[1]) < 0.12


def test_shifted_shows_instruments_more_often():
    aligned, shifted = (
        np.mean([(instrument_counts(video, domain).sum(axis=1) > 0).mean() for video in (1, 2)])
        for domain in ("aligned", "shifted")
    )
    assert shifted > aligned


def test_videos_have_round_and_full_views():
    surround = [(draw_frame(7, video, 0, SIZE)[1] == 50).any() for video in range(1, 13)]
    assert any(surround) and not all(surround)


def test_neighbouring_frames_resemble_each_other_more_than_distant_ones():
    frames = {index: draw_frame(2, 1, index, SIZE)[0].astype(float) for index in (100, 101, 400)}
    near, far = np.abs(frames[100] - frames[101]).mean(), np.abs(frames[100] - frames[400]).mean()
    assert 0 < near < far / 2


def test_content_is_the_same_at_every_size():
    small, large = (draw_frame(5, 2, 60, size)[1] for size in ((90, 160), (180, 320)))
    agree = small[:-1, :-1] == large[1::2, 1::2][:-1, :-1]
    known = (small[:-1, :-1] != 255) & (large[1::2, 1::2][:-1, :-1] != 255)
    assert agree[known].mean() > 0.95


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 0, (20, 300)), "too small"),
        ((0, 1, 0, SIZE, "other"), "unknown domain"),
        ((-1, 1, 0, SIZE), "negative"),
        ((0, 1, -3, SIZE), "negative"),
    ],
)
def test_bad_arguments_are_user_errors(arguments, message):
    with pytest.raises(UserError, match=message):
        draw_frame(*arguments)
