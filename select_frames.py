"""Choose the frames of a generated folder that a person is to look at: some to correct, some to audit.

  python select_frames.py --generated-dir data/gastrectomy --budget 20 --audit 30
  python select_frames.py --generated-dir data/gastrectomy --budget 20     # later: 20 more to correct
  python select_frames.py --generated-dir data/gastrectomy --budget 0 --audit 60    # a larger audit

The audit says how good a model is on this video. It is drawn at random from all sampled positions,
and its frames, their bursts and their near copies never train. To correct are the frames whose masks
are most suspicious and differ most from each other; each has a reason. review.csv and review.json
are written into the folder; what was reviewed stays. Exit status: 0 done, 3 fewer frames than asked.
"""

from __future__ import annotations

import argparse

from surgseg.analysis.options import add_generated_dir
from surgseg.console import PARTIAL, make_parser, report_errors
from surgseg.files import UserError, sole_writer

WAYS = ("suspicion", "random")


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    add_generated_dir(parser.add_argument_group("input"))
    choice = parser.add_argument_group("selection")
    choice.add_argument("--budget", type=int, default=20, metavar="N", help="frames to add to correct (default: 20)")
    choice.add_argument(
        "--audit", type=int, default=30, metavar="N", help="frames of the audit, in all; 0: none (default: 30)"
    )
    choice.add_argument(
        "--choose",
        choices=WAYS,
        default="suspicion",
        help="frames to correct: suspicious and different ones, or at random (default: suspicion)",
    )
    choice.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the random draws (default: 0)")
    return parser


def work(args: argparse.Namespace) -> int:
    for option, value in (("--budget", args.budget), ("--audit", args.audit), ("--seed", args.seed)):
        if value < 0:
            raise UserError(f"{option} {value}: 0 or more is needed")
    from surgseg.generate.folder import read_generated
    from surgseg.review.select import select
    from surgseg.review.suspicion import read_features
    from surgseg.reviews import read_audit_sample, read_reviews, write_audit_sample, write_reviews

    with sole_writer(args.generated_dir):
        generated = read_generated(args.generated_dir)
        if not generated.run.get("complete"):
            raise UserError(f"{args.generated_dir} is unfinished: run generate_masks_from_model.py to its end first")
        reviews, audit = read_reviews(args.generated_dir), read_audit_sample(args.generated_dir)
        found = select(
            generated, read_features(generated), reviews, audit,
            budget=args.budget, count=args.audit, seed=args.seed, how=args.choose,
        )  # fmt: skip
        write_audit_sample(args.generated_dir, found.audit)
        write_reviews(args.generated_dir, found.reviews.values())
    print(found.notes)
    return PARTIAL if found.short else 0


def main(argv: list[str] | None = None) -> int:
    return report_errors(work, build_parser().parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
