"""Choose the frames of a generated folder that a person is to look at: some to audit, some to correct.

  python select_frames.py --generated-dir data/gastrectomy --budget 20 --audit 30
  python select_frames.py --generated-dir data/gastrectomy --budget 10            # later: 10 more
  python select_frames.py --generated-dir data/gastrectomy --budget 0 --audit 60  # larger audit

The audit says how good a model is on this video. It is drawn at random from all sampled positions.
Its frames, their bursts and their near copies never train. To correct are the frames whose masks
are most suspicious and that differ most from each other; each comes with its reason. review.csv and
review.json are written into the folder; rows that were reviewed stay as they are. Exit status: 0
done, 2 nothing could be done, 3 fewer frames than asked for.
"""

from __future__ import annotations

import argparse
import shlex
import sys

from surgseg.analysis.options import add_cuts_option, add_generated_dir
from surgseg.console import PARTIAL, make_parser, report_errors
from surgseg.files import UserError

BUDGET, AUDIT = 20, 30  # frames, at the first call
SHOWN = 5  # frames to correct that are printed


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    source = parser.add_argument_group("input")
    add_generated_dir(source)
    add_cuts_option(source)
    choice = parser.add_argument_group("selection")
    choice.add_argument(
        "--budget", type=int, default=BUDGET, metavar="N", help=f"frames to add to correct (default: {BUDGET})"
    )
    choice.add_argument(
        "--audit",
        type=int,
        metavar="N",
        help=f"frames of the audit in all, 0 for none; a larger N later adds to it (default: {AUDIT}, later as it is)",
    )
    choice.add_argument(
        "--choose",
        choices=["suspicion", "random"],
        default="random",
        help="which frames to correct: random ones, or suspicious ones that differ, with reasons; neither taught more: "
        "docs/results/adaptation.md (default: random)",
    )
    choice.add_argument("--seed", type=int, default=0, metavar="N", help="seed of what is random (default: 0)")
    return parser


def work(args: argparse.Namespace) -> int:
    for option in ("budget", "audit", "seed"):
        if (getattr(args, option) or 0) < 0:
            raise UserError(f"--{option} {getattr(args, option)}: 0 or more is needed")
    if args.audit == 1:
        raise UserError("--audit 1: a single frame says nothing about the others; 2 or more, or 0, are needed")
    if args.cuts and args.choose != "suspicion":
        raise UserError("--cuts needs --choose suspicion: only there are neighbouring frames compared")
    from surgseg.generate.folder import read_generated
    from surgseg.review.select import select
    from surgseg.review.suspicion import read_features
    from surgseg.reviews import lock_reviews, read_audit_sample, read_reviews, write_audit_sample, write_reviews

    folder = args.generated_dir
    generated = read_generated(folder)
    if not generated.run.get("complete"):
        raise UserError(f"{folder} is unfinished: run generate_masks_from_model.py again, it continues to the end")
    read_reviews(folder, complete=False)  # a table that is not valid is an error at once
    features = read_features(generated, args.cuts)
    with lock_reviews(folder):  # a review page may be open
        reviews, audit = read_reviews(folder, complete=False), read_audit_sample(folder)
        usual = len(audit.names) if reviews or audit.names else AUDIT
        count = usual if args.audit is None else args.audit
        found = select(
            generated, features, reviews, audit, budget=args.budget, count=count, seed=args.seed, how=args.choose
        )
        write_audit_sample(folder, found.audit)  # first: the next call adds rows that a kill leaves out here
        write_reviews(folder, found.reviews.values())
    report(generated, features, found, args.choose)
    return PARTIAL if found.short else 0


def report(generated, features, found, how: str) -> None:
    """Print what was chosen, from how many frames, and the next command."""
    from surgseg.analysis.report import cuts_words
    from surgseg.review.sample import population_of

    rows = {row.name: row for row in generated.rows}
    suspect = sum(row.suspect for row in generated.rows)
    left_out = f"; {suspect} frames decoded after damage are left out" * bool(suspect)
    print(f"Population: {len(population_of(generated))} sampled positions, {len(rows)} frames{left_out}")
    drawn = [found.reviews[name] for name in found.audit.names]
    reserve = sum(map(len, found.audit.reserve.values()))
    print(f"Audit: {len(drawn)} frames ({len(found.to_audit)} new), drawn at random with seed {found.audit.seed}")
    for stratum, size in found.audit.population.items():
        count = sum(row.stratum == stratum for row in drawn)
        print(f"  {stratum}: {count} of {size} positions, {len(found.audit.reserve[stratum])} in reserve")
    never = len(found.audit.never_train)
    if never:
        print(
            f"  These {len(drawn)}, the {reserve} in reserve, their bursts and near copies never train: {never} frames"
        )
    print(f"To correct: {sum(row.purpose == 'correct' for row in found.reviews.values())} frames", end="")
    print(f" ({len(found.to_correct)} new)")
    for name in found.to_correct[:SHOWN]:
        print(f"  {name}, {rows[name].time_s:.2f} s: {found.reviews[name].reason}")
    if len(found.to_correct) > SHOWN:
        print(f"  and {len(found.to_correct) - SHOWN} more, in {generated.folder / 'review.csv'}")
    if how == "suspicion":
        print(f"Cuts, across which no frames are compared: {cuts_words(features.cuts.to_json())}")
    for note in features.notes:
        print(f"Note: {note}")
    for note in found.notes:
        print(f"Note: {note}", file=sys.stderr if found.short else sys.stdout)
    print(f"Next: python review_masks.py --generated-dir {shlex.quote(str(generated.folder))}")


def main(argv: list[str] | None = None) -> int:
    return report_errors(work, build_parser().parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
