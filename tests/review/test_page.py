"""The answers of the review page: what it tells, what it takes, and what it refuses."""

from __future__ import annotations

import errno
import os
import re

import numpy as np
import pytest

from surgseg.review.page import review_routes
from surgseg.review.store import open_for_review
from surgseg.reviews import AuditSample, Review, read_reviews, reviewed_path, write_audit_sample, write_reviews
from surgseg.web import make_app
from tests.folders import columns, texture, write_folder
from tests.helpers import folder_bytes, save_image

SIZE = (60, 80)
PREDICTED, DRAWN = columns(0, 5, SIZE), columns(0, 9, SIZE)
HOST = {"Host": "127.0.0.1:8000"}
SAME = {**HOST, "Origin": "http://127.0.0.1:8000"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Five frames 0.2 s apart, the last of them in the audit."""
    folder = tmp_path_factory.mktemp("review") / "video"
    image = np.repeat(texture(SIZE)[..., None], 3, 2)
    write_folder(folder, [PREDICTED] * 5, images=[image] * 5, step=5, threshold=0.4)
    write_audit_sample(folder, AuditSample(population={"1": 2}, names=["video_000020"]))
    return folder


@pytest.fixture
def folder(written):
    for path in (written / "reviewed").glob("*"):
        path.unlink()
    write_reviews(written, [Review("video_000020", "audit", stratum="1", probability=0.5)])
    return written


@pytest.fixture
def client(folder):
    return make_app(review_routes(open_for_review(folder)), "token").test_client()


@pytest.fixture
def blank(folder):
    return make_app(review_routes(open_for_review(folder, blank_audit=True)), "token").test_client()


def get(client, path: str):
    return client.get(f"/token/{path}", headers=HOST)


def post(client, path: str, mask=b"", headers=SAME):
    return client.post(f"/token/{path}", data=mask if isinstance(mask, bytes) else mask.tobytes(), headers=headers)


def mask_of(answer) -> np.ndarray:
    shape = int(answer.headers["X-Height"]), int(answer.headers["X-Width"])
    return np.frombuffer(answer.data, np.uint8).reshape(shape)


def test_the_page_runs_only_its_own_script_and_style(client):
    answer = get(client, "")
    nonces = re.findall(r'<(?:style|script)\b[^>]* nonce="([^"]+)"', answer.text)
    assert len(set(nonces)) == 1 and f"'nonce-{nonces[0]}'" in answer.headers["Content-Security-Policy"]
    assert "<script src" not in answer.text and "fetch(" in answer.text


def test_the_list_describes_the_folder_and_its_frames(client):
    found = get(client, "list").json
    facts = {"folder": "video", "width": 80, "height": 60, "threshold": 0.4, "probabilities": False}
    assert {key: found[key] for key in facts} == facts
    assert found["classes"][1] == {"id": 1, "name": "instrument", "colour": [0, 158, 230], "instrument": True}
    assert [(item["index"], item["time_s"]) for item in found["frames"][:3]] == [(0, 0.0), (1, 0.2), (2, 0.4)]
    assert found["frames"][4]["purpose"] == "audit" and found["frames"][0]["purpose"] == ""


def test_a_saved_mask_comes_back_pixel_by_pixel(client, folder):
    first = get(client, "frames/1/mask")
    assert (mask_of(first) == PREDICTED).all() and first.headers["X-Version"] == ""
    saved = post(client, "frames/1/review?seconds=2.5&version=", DRAWN)
    assert saved.status_code == 200 and reviewed_path(folder, "video_000005").is_file()
    row = read_reviews(folder)["video_000005"]
    told = {"status": "corrected", "seconds": 2.5, "changed_pixels": 4 * 60, "time": row.time}
    assert {**told, "version": saved.json["version"]} == saved.json
    again = get(client, "frames/1/mask")
    assert (mask_of(again) == DRAWN).all() and again.headers["X-Version"] == saved.json["version"]
    assert get(client, "list").json["frames"][1]["version"] == saved.json["version"]
    assert (mask_of(get(client, "frames/1/predicted")) == PREDICTED).all()


def test_an_unusable_frame_needs_no_mask(client, folder):
    assert post(client, "frames/0/review?seconds=1&version=&unusable=1").json["status"] == "unusable"
    assert not reviewed_path(folder, "video_000000").exists()


def test_a_stale_version_is_a_conflict_in_words(client):
    version = post(client, "frames/0/review?seconds=1&version=", DRAWN).json["version"]
    answer = post(client, "frames/0/review?seconds=1&version=", PREDICTED)
    assert answer.status_code == 409 and "not saved" in answer.json["message"]
    assert (answer.json["version"], answer.json["status"]) == (version, "corrected")


def test_a_full_disk_is_told_and_loses_nothing(client, folder, monkeypatch):
    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = folder_bytes(folder)
    monkeypatch.setattr(os, "fsync", fsync)
    answer = post(client, "frames/0/review?seconds=1&version=", DRAWN)
    assert answer.status_code == 507 and "disk is full" in answer.json["message"]
    assert folder_bytes(folder) == before


@pytest.mark.parametrize(
    ("path", "mask", "status"),
    [
        ("frames/0/review?seconds=1", PREDICTED[1:], 400),
        ("frames/0/review?seconds=1", b"", 400),
        ("frames/0/review?seconds=1", PREDICTED.tobytes() + b"\0", 413),
        ("frames/0/review?seconds=1", PREDICTED * 2, 400),
        ("frames/0/review", PREDICTED, 400),
        ("frames/0/review?seconds=-1", PREDICTED, 400),
        ("frames/0/review?seconds=nan", PREDICTED, 400),
        ("frames/0/review?seconds=1e999", PREDICTED, 400),
        ("frames/5/review?seconds=1", PREDICTED, 404),
        ("frames/99999999999999999999/review?seconds=1", PREDICTED, 404),
        ("frames/-1/review?seconds=1", PREDICTED, 404),
        ("frames/..%2f..%2fx/review?seconds=1", PREDICTED, 404),
        ("frames/video_000005/review?seconds=1", PREDICTED, 404),
        ("propagate?from=0&to=3", PREDICTED, 400),
        ("propagate?from=-1&to=0", PREDICTED, 400),
        ("propagate?from=0", PREDICTED, 400),
        ("propagate?from=0&to=1", PREDICTED[1:], 400),
        ("propagate?from=0&to=1", PREDICTED * 7, 400),
        ("list", PREDICTED, 405),
        ("frames/0/mask", PREDICTED, 405),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(client, folder, path, mask, status):
    before = folder_bytes(folder)
    assert post(client, path, mask).status_code == status
    assert folder_bytes(folder) == before


@pytest.mark.parametrize(
    ("prefix", "headers", "status"),
    [
        ("tokens", SAME, 404),
        ("token", {**SAME, "Host": "evil.example"}, 403),
        ("token", {**SAME, "Origin": "http://evil.example"}, 403),
        ("token", HOST, 403),
    ],
)
def test_a_stranger_cannot_save(client, folder, prefix, headers, status):
    before = folder_bytes(folder)
    answer = client.post(f"/{prefix}/frames/0/review?seconds=1&version=", data=DRAWN.tobytes(), headers=headers)
    assert answer.status_code == status and folder_bytes(folder) == before


@pytest.mark.parametrize("path", ["frames/0/review?seconds=1&version=", "propagate?from=0&to=1"])
def test_reading_never_saves(client, path):
    assert get(client, path).status_code == 405


@pytest.mark.parametrize("path", ["../frames.csv", "frames/..%2f..%2fframes.csv", "frames/5/picture", "frames/0/rows"])
def test_nothing_but_the_listed_frames_is_read(client, path):
    assert get(client, path).status_code == 404


def test_a_file_that_is_gone_is_named(client, folder):
    path = folder / "frames" / "video_000005.png"
    data = path.read_bytes()
    path.unlink()
    answers = [get(client, f"frames/1/{what}") for what in ("picture", "thumbnail")]
    path.write_bytes(data)
    assert all(answer.status_code == 500 and path.name in answer.json["message"] for answer in answers)


def test_pictures_are_served(client, folder):
    assert get(client, "frames/0/picture").data == (folder / "frames" / "video_000000.png").read_bytes()
    assert get(client, "frames/0/picture").mimetype == "image/png"
    assert get(client, "frames/0/thumbnail").mimetype == "image/jpeg"


def test_probabilities_are_served_where_they_were_saved(client, folder):
    assert get(client, "frames/0/probability").status_code == 404
    opened = open_for_review(folder)
    opened.generated.run["parts"]["probabilities"] = "png"
    try:
        save_image(folder / "probabilities" / "video_000000.png", DRAWN * 20)
        with_them = make_app(review_routes(opened), "token").test_client()
        assert (mask_of(get(with_them, "frames/0/probability")) == DRAWN * 20).all()
    finally:
        (folder / "probabilities" / "video_000000.png").unlink()


def test_a_blank_audit_tells_nothing_of_the_prediction(client, blank):
    assert not mask_of(get(blank, "frames/4/mask")).any()
    assert [get(blank, f"frames/4/{what}").status_code for what in ("predicted", "probability")] == [404, 404]
    assert get(client, "frames/4/predicted").status_code == 200
    assert post(blank, "frames/4/review?seconds=1&version=", DRAWN).json["changed_pixels"] == 0


def test_a_mask_is_propagated_and_the_model_fills_what_is_not_trusted(client, blank, monkeypatch):
    answer = post(client, "propagate?from=0&to=1", DRAWN)
    assert answer.status_code == 200 and (mask_of(answer) == DRAWN).mean() > 0.99
    assert float(answer.headers["X-Trusted"]) > 0.9
    half = columns(0, 40, SIZE) > 0
    monkeypatch.setattr("surgseg.review.page.carry_mask", lambda mask, *frames: (1 - mask, half))
    answer = post(client, "propagate?from=3&to=4", DRAWN)
    assert answer.headers["X-Trusted"] == "0.5000"
    assert (mask_of(answer) == np.where(half, 1 - DRAWN, PREDICTED)).all()
    assert (mask_of(post(blank, "propagate?from=3&to=4", DRAWN)) == 1 - DRAWN).all()
