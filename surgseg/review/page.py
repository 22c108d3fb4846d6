"""The page where a person corrects masks: its routes. Frames go by their index: no path comes from the browser."""

from __future__ import annotations

import errno
import functools
import math
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import numpy as np

from surgseg.files import LockedError, UserError
from surgseg.frames import read_frame
from surgseg.review import store
from surgseg.review.picture import carry_mask, thumbnail
from surgseg.review.store import Conflict, InvalidMask, ReviewFolder

_ASSETS = Path(__file__).parent
_SCRIPTS = ("pixels.js", "view.js", "page.js", "controls.js")
MAX_STEP_S = 0.5  # seconds between two frames of which one takes the other's mask
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_DISK = (
    "The disk is full: this frame is not saved; all that was saved before is kept. Free some space, then save again."
)


def review_routes(opened: ReviewFolder) -> Callable:
    """Return a function that adds the page and its answers to a Flask blueprint.

    Masks travel as raw class ids, row by row, a byte a pixel; errors as JSON with a `message`.
    """
    return lambda pages: (_add_reading(pages, opened), _add_changing(pages, opened), _add_errors(pages))


def _route(opened: ReviewFolder, what: str) -> str:
    return f"/frames/<int(max={len(opened.generated.rows) - 1}):index>/{what}"


def _add_reading(pages, opened: ReviewFolder) -> None:
    from flask import abort, render_template_string, send_file

    small = functools.lru_cache(maxsize=None)(lambda index: thumbnail(opened.frame_path(index)))

    @pages.get("/")
    def index():
        html, css, *js = ((_ASSETS / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", *_SCRIPTS))
        return render_template_string(html, css=css, js="\n".join(js))

    @pages.get("/list")
    def frames():
        scheme, run = opened.generated.scheme, opened.generated.run
        return {
            "folder": opened.path.resolve().name,
            "width": opened.width,
            "height": opened.height,
            "classes": [
                {"id": item.id, "name": item.name, "colour": item.colour, "instrument": item.instrument}
                for item in scheme.classes
            ],
            "probabilities": "probabilities" in run["parts"],
            "blank_audit": opened.blank_audit,
            "threshold": run.get("threshold"),
            "frames": store.describe_frames(opened),
        }

    @pages.get(_route(opened, "picture"))
    def picture(index: int):
        return send_file(opened.frame_path(index).resolve())

    @pages.get(_route(opened, "thumbnail"))
    def small_picture(index: int):
        return small(index), {"Content-Type": "image/jpeg"}

    @pages.get(_route(opened, "mask"))
    def mask(index: int):
        ids, version = store.starting_mask(opened, index)
        return _raw(ids, **{"X-Version": version})

    @pages.get(_route(opened, "<any(predicted, probability):what>"))
    def prediction(index: int, what: str):
        if store.is_blind(opened, store.find_review(opened, index)):
            abort(404, "this frame of the audit is judged without its prediction")
        found = (store.predicted_mask if what == "predicted" else store.probability_of)(opened, index)
        return abort(404, "the run saved no probabilities") if found is None else _raw(found)


def _add_changing(pages, opened: ReviewFolder) -> None:
    from flask import abort, request

    rows = opened.generated.rows

    def posted_mask() -> np.ndarray:
        length, expected = request.content_length, opened.width * opened.height
        if length is None or length > expected:  # before the body is read
            abort(413 if length else 400, f"the mask has {length} bytes; the frame has {expected} pixels")
        return store.mask_from(opened, request.get_data())

    @pages.post(_route(opened, "review"))
    def review(index: int):
        seconds = request.args.get("seconds", -1.0, type=float)
        if not 0 <= seconds < math.inf:
            abort(400, "seconds is no number from 0 on")
        ids = None if request.args.get("unusable") == "1" else posted_mask()
        saved, version = store.save_review(opened, index, ids, seconds, request.args.get("version", ""))
        return {
            "status": saved.status,
            "seconds": saved.seconds,
            "changed_pixels": 0 if store.is_blind(opened, saved) else saved.changed_pixels,
            "version": version,
            "time": saved.time,
        }

    @pages.post("/propagate")
    def propagate():
        first, second = (request.args.get(key, -1, type=int) for key in ("from", "to"))
        if not (0 <= first < len(rows) and 0 <= second < len(rows)):
            abort(400, "there is no such frame")
        apart = abs(rows[first].time_s - rows[second].time_s)
        if apart > MAX_STEP_S + 1e-6:
            abort(400, f"the frames are {apart:.1f} s apart; a mask is carried over {MAX_STEP_S} s at most")
        carried, trusted = carry_mask(posted_mask(), *(read_frame(opened.frame_path(i)) for i in (first, second)))
        if not store.is_blind(opened, store.find_review(opened, second)):
            carried = np.where(trusted, carried, store.predicted_mask(opened, second))
        return _raw(carried, **{"X-Trusted": f"{trusted.mean():.4f}"})


def _raw(values: np.ndarray, **headers: str):
    from flask import Response

    size = {"X-Width": str(values.shape[1]), "X-Height": str(values.shape[0])}
    return Response(values.tobytes(), mimetype="application/octet-stream", headers={**size, **headers})


def _add_errors(pages) -> None:
    from werkzeug.exceptions import HTTPException

    @pages.errorhandler(HTTPException)
    def refused(error):
        return {"message": error.description}, error.code

    @pages.errorhandler(InvalidMask)
    def invalid(error):
        return {"message": str(error)}, HTTPStatus.BAD_REQUEST

    @pages.errorhandler(Conflict)
    def conflict(error):
        message = (
            f"{error.review.name} was saved by another tab, person or program ({error.review.status}, "
            f"{error.review.time or 'time unknown'}). Yours is not saved. Look at theirs before you save over it."
        )
        return {"message": message, "version": error.version, "status": error.review.status}, HTTPStatus.CONFLICT

    @pages.errorhandler(OSError)
    @pages.errorhandler(UserError)
    def failed(error):
        if isinstance(error, LockedError):
            return {"message": f"{error}. Yours is not saved: save again."}, HTTPStatus.SERVICE_UNAVAILABLE
        if getattr(error.__cause__, "errno", None) in _FULL:
            return {"message": _FULL_DISK}, HTTPStatus.INSUFFICIENT_STORAGE
        return {"message": str(error)}, HTTPStatus.INTERNAL_SERVER_ERROR
