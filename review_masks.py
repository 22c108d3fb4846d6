"""Review predicted masks in the browser: correct, accept, mark as unusable.

Research use: not for clinical decisions.

  python review_masks.py --generated-dir data/gastrectomy
  python review_masks.py --generated-dir data/gastrectomy --blank-audit   (audit from empty masks)

Each accepted frame is on the disk at once: its mask in reviewed/, its row in review.csv. masks/ is
never changed, and nothing leaves this machine. select_frames.py chooses which frames come first.
Ctrl-C ends; a second call goes on. Exit status: 0 ended by Ctrl-C, 2 an error.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from surgseg.console import make_parser, report_errors
from surgseg.web import LOOPBACK, check_host, is_loopback, serving


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--generated-dir", type=Path, required=True, metavar="DIR", help="folder of generate_masks_from_model.py"
    )
    parser.add_argument(
        "--blank-audit",
        action="store_true",
        help="frames of the audit start from an empty mask and show no prediction (default: from the prediction)",
    )
    group = parser.add_argument_group("page")
    group.add_argument("--no-browser", action="store_true", help="only print the address (default: open a browser)")
    group.add_argument("--port", type=int, default=0, help="port of the page; 0: any free one (default: %(default)s)")
    group.add_argument("--host", default=LOOPBACK, help="address to serve on (default: %(default)s, this machine only)")
    group.add_argument(
        "--allow-remote",
        nargs="*",
        metavar="NAME",
        help="let other machines reach --host, under its own name or these names: whoever has the address sees patient "
        "frames, and nothing is encrypted (default: no; forward the port by SSH instead)",
    )
    return parser


def work(args: argparse.Namespace) -> int:
    names = check_host(args.host, args.allow_remote)
    from surgseg.review.page import review_routes
    from surgseg.review.store import open_for_review

    opened = open_for_review(args.generated_dir, args.blank_audit)
    if not opened.generated.run.get("complete"):
        print(f"Note: the run that wrote {args.generated_dir} ended early; its frames up to there are shown")
    print(progress(opened))
    where = {"host": args.host, "names": names, "open_browser": not args.no_browser and can_show()}
    with serving(review_routes(opened), args.port, option="--port", **where) as address:
        on_this = " on this machine" if is_loopback(args.host) else ""
        print(f"Open {address} in a browser{on_this}; Ctrl-C ends", flush=True)
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            print(f"\n{progress(opened)}")
    return 0


def progress(opened) -> str:
    """Return how many frames are reviewed, of how many."""
    reviews = opened.reviews()
    shown = {row.name for row in opened.generated.rows}
    parts = []
    for purpose in ("correct", "audit", "extra"):
        statuses = [review.status for review in reviews.values() if review.purpose == purpose]
        if statuses:
            parts.append(f"{purpose}: {len(statuses) - statuses.count('open')} of {len(statuses)}")
    lost = len(reviews.keys() - shown)
    parts += [f"{lost} rows of review.csv have no frame here"] * (lost > 0)
    return f"{len(shown)} frames; reviewed {', '.join(parts) or 'none; select_frames.py chooses which to review'}"


def can_show() -> bool:
    """Return whether a browser of its own window can open: without a display, one in the terminal would."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def main(argv: list[str] | None = None) -> int:
    return report_errors(work, build_parser().parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
