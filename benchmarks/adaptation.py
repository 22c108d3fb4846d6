"""Adapt a model to a new procedure: how much do 5, 10 and 20 corrected frames gain, and does it matter which?

  python benchmarks/adaptation.py run --data-root data/endovis2015 --seeds 0 1 2    # both kinds of shift
  python benchmarks/adaptation.py table --figure docs/figures/adaptation.png        # the finished runs as markdown

Shifts: from the first 70 % of one operation of EndoVis 2015 to another operation, and from the aligned synthetic domain
to a shifted synthetic video. For each shift a model is trained on the old data and applied to the new frames. Then, for
each seed, `select` draws an audit and chooses 20 frames. The first 5, 10 or 20 of them get their ground truth as the
reviewed mask: THE CORRECTION IS SIMULATED, a person would be less exact. instrument_segmentation.py fine-tunes on them,
and the pooled Dice of the audit frames is reported, which nobody corrects and which never train, and that of the old
test part. Finished runs are not repeated, so that the same command continues a stopped table.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import shutil
import sys
import time
import traceback
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from benchmarks.shifts import MOST, call, make_shift, review, shifts_of  # noqa: E402
from surgseg.files import make_folder, read_json, write_json  # noqa: E402

BUDGETS, WAYS = (5, 10, MOST), ("suspicion", "random")
PSEUDO = "--pseudo-labels 0.1 0.9"
ARMS = {  # name: (way to choose, corrected frames, options of the fine-tuning)
    "statistics only": ("suspicion", 0, None),
    "pseudo-labels only": ("suspicion", 0, PSEUDO),
    **{f"{how} {budget}": (how, budget, "") for budget in BUDGETS for how in WAYS},
    "no mixing": ("suspicion", 10, "no mixing"),
    **{f"{how} {budget}, pseudo-labels": (how, budget, PSEUDO) for budget in BUDGETS for how in WAYS},
    "no mixing, pseudo-labels": ("suspicion", 10, f"{PSEUDO} no mixing"),
    "rate 0.001, pseudo-labels": ("suspicion", 10, f"{PSEUDO} --lr 0.001 --backbone-rate 0.3"),
}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["run", "table"], help="what to do")
    parser.add_argument("--data-root", type=Path, help="EndoVis 2015, prepared (default: the synthetic shift only)")
    parser.add_argument(
        "--output-dir", type=Path, default=Path("outputs/adaptation"), help="runs (default: %(default)s)"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="seeds (default: 0 1 2)")
    parser.add_argument("--only", nargs="+", choices=ARMS, metavar="ARM", help=f"arms: {', '.join(ARMS)}")
    parser.add_argument(
        "--image-size", type=int, nargs=2, default=[96, 128], metavar=("H", "W"), help="pixels (default: 96 128)"
    )
    parser.add_argument("--base-epochs", type=int, default=60, help="epochs on the old data (default: 60)")
    parser.add_argument("--epochs", type=int, help="epochs of the fine-tuning, to try (default: the script's own)")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, one thread each (default: 1)")
    parser.add_argument("--minutes", type=float, default=1e9, help="start no run after this time (default: no limit)")
    parser.add_argument("--figure", type=Path, help="draw the curve to this file (default: none)")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    if args.stage == "table":
        print(table(args.output_dir))
        if args.figure:
            draw_curve(args.output_dir, args.figure)
        return 0
    deadline = time.monotonic() + 60 * args.minutes
    shifts = shifts_of(args.data_root)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.jobs, mp_context=context, initializer=use_one_thread) as pool:
        failed = sum(pool.map(prepare_shift, *zip(*((args, shift) for shift in shifts))))
        jobs = [
            (args, shift, seed, arm, deadline) for seed in args.seeds for shift in shifts for arm in args.only or ARMS
        ]
        failed += sum(pool.map(run_arm, *zip(*jobs)))
    print(table(args.output_dir))
    return 1 if failed else 0


def use_one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def logged(work):
    """Return `work` so that it prints into log.txt of its folder and returns 1 if it fails."""

    def wrapped(args, shift: str, *rest) -> int:
        folder = folder_of(args, shift, *rest)
        if (folder / "finished").is_file():
            return 0
        if rest and time.monotonic() > rest[-1]:
            print(f"{folder}: not started, the time is over", flush=True)
            return 1
        started = time.monotonic()
        with (make_folder(folder) / "log.txt").open("w") as log, contextlib.redirect_stdout(log):
            try:
                with contextlib.redirect_stderr(log):
                    work(args, shift, *rest)
                (folder / "finished").touch()
            except (Exception, SystemExit):  # the other runs go on
                traceback.print_exc(file=log)
        done = (folder / "finished").is_file()
        print(f"{folder}: {'done' if done else 'FAILED'}, {time.monotonic() - started:.0f} s", flush=True)
        return int(not done)

    return wrapped


def folder_of(args, shift: str, seed: int | None = None, arm: str = "", deadline: float = 0) -> Path:
    folder = args.output_dir / shift.replace(" ", "_")
    return folder / "shift" if seed is None else folder / f"seed_{seed}" / arm.replace(" ", "_")


def prepare_shift(args, shift: str) -> int:
    def work(args, shift: str) -> None:
        make_shift(folder_of(args, shift), shift, args.data_root, args.image_size, args.base_epochs)

    return logged(work)(args, shift)


def run_arm(args, shift: str, seed: int, arm: str, deadline: float) -> int:
    return logged(fine_tune)(args, shift, seed, arm, deadline)


def fine_tune(args, shift: str, seed: int, arm: str, deadline: float) -> None:
    """Review the chosen frames by their ground truth, fine-tune, and write result.json."""
    import instrument_segmentation
    from surgseg.checkpoint import load_checkpoint

    folder, source = folder_of(args, shift, seed, arm), folder_of(args, shift)
    how, budget, options = ARMS[arm]
    review(source, folder / "new", shift, how, budget, seed)
    base = source / "base" / "instrument_segmentation_model.pth"
    if options is None:
        write_json(folder / "result.json", adapt_statistics(base, source, folder))
        return
    words = ["--data-root", folder / "new", "--init-from", base, "--output-dir", folder / "tuned", "--seed", seed]
    words += ["--cache-dir", folder / "cache", "--save-preds", folder / "tuned" / "preds"]
    words += [] if "no mixing" in options else ["--mix-with", source / "old"]
    words += options.replace("no mixing", "").split()
    words += ["--epochs", args.epochs] if args.epochs else []
    started = time.monotonic()
    call(instrument_segmentation, *words)
    seconds = time.monotonic() - started
    tuned = load_checkpoint(folder / "tuned" / "instrument_segmentation_model.pth")
    write_json(folder / "result.json", {**measure(source, folder, tuned), "seconds": seconds})
    shutil.rmtree(folder / "cache")


def measure(source: Path, folder: Path, tuned) -> dict:
    """Score the base model and the checkpoint `tuned` on the audit and on the old test part, as the script does."""
    import torch

    from surgseg.data.reviewed import load_reviewed
    from surgseg.review.adaptation import measure_adaptation
    from surgseg.training.compose import load_mixed

    base, path = source / "base" / "instrument_segmentation_model.pth", folder / "adaptation.json"
    prepared = load_reviewed(folder / "new")
    audit = [sample for sample in prepared.samples if sample.role == "audit"]
    _, test = load_mixed(source / "old", prepared, base)
    print(measure_adaptation(base, tuned, audit, test, torch.device("cpu"), void="ignore", path=path))
    return read_json(path)


def adapt_statistics(base: Path, source: Path, folder: Path) -> dict:
    """Replace the statistics of batch normalisation by those of the new frames, without labels; score (Li et al. 2016,
    arXiv:1603.04779)."""
    import torch

    from surgseg.checkpoint import load_checkpoint, save_checkpoint
    from surgseg.data.reviewed import load_reviewed
    from surgseg.data.views import sample_views
    from surgseg.frames import read_frame
    from surgseg.preprocess import normalise, resize_frames

    checkpoint = load_checkpoint(base)
    prepared = load_reviewed(folder / "new")
    views = sample_views(prepared.samples, checkpoint.view)
    frames = []
    for sample in prepared.samples:
        if sample.role != "audit":
            frame = read_frame(sample.frame)
            pixels = torch.tensor(np.ascontiguousarray(views(sample, frame).crop(frame))).permute(2, 0, 1)[None]
            frames.append(resize_frames(pixels, checkpoint.image_size))
    model = checkpoint.model
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches
    with torch.inference_mode():
        model.train()
        for batch in torch.cat(frames).split(8):
            if len(batch) > 1:
                model(normalise(batch, checkpoint.mean, checkpoint.std))
        model.eval()
    save_checkpoint(folder / "statistics.pth", checkpoint)
    return measure(source, folder, checkpoint)


def results_of(folder: Path) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Return Dice by shift, arm, seed: before and after on the audit and on the old test part."""
    found: dict = defaultdict(lambda: defaultdict(dict))
    for path in sorted(folder.glob("*/seed_*/*/result.json")):
        changes = read_json(path)["changes"]
        values = {
            f"{key} {what}": change[key][0]
            for change, what in zip(changes, ("new", "old"))
            for key in ("before", "after")
        }
        arm = next(name for name in ARMS if name.replace(" ", "_") == path.parent.name)
        found[path.parts[-4].replace("_", " ")][arm][path.parts[-3][5:]] = values
    return found


def table(folder: Path) -> str:
    """Return a markdown table: Dice on the audit of the new frames and on the old test part; mean over seeds."""
    lines = [
        "| shift | arm | seeds | new before | new after | gain, by seed | old before | old after |",
        "|---" * 8 + "|",
    ]
    for shift, arms in results_of(folder).items():
        for arm in ARMS:
            if seeds := arms.get(arm):
                mean = {key: np.mean([values[key] for values in seeds.values()]) for key in next(iter(seeds.values()))}
                gains = ", ".join(
                    f"{values['after new'] - values['before new']:+.3f}" for _, values in sorted(seeds.items())
                )
                numbers = " | ".join(
                    [f"{mean['before new']:.3f}", f"{mean['after new']:.3f}", gains]
                    + [f"{mean[key]:.3f}" for key in ("before old", "after old")]
                )
                lines.append(f"| {shift} | {arm} | {len(seeds)} | {numbers} |")
    return "\n".join(lines)


def draw_curve(folder: Path, path: Path) -> None:
    """Draw the gain on the audit against the corrected frames: points are seeds, lines their means."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    results = results_of(folder)
    figure, axes = plt.subplots(1, len(results), figsize=(3.2 * len(results), 3.2), squeeze=False, layout="constrained")
    for axis, (shift, arms) in zip(axes[0], results.items()):
        for how, style in zip(WAYS, ("o-", "s--")):
            points = [(0, 0.0)]
            for budget in BUDGETS:
                found = arms.get(f"{how} {budget}", {}).values()
                points += [(budget, values["after new"] - values["before new"]) for values in found]
            budgets = sorted({budget for budget, _ in points})
            means = [np.mean([gain for given, gain in points if given == budget]) for budget in budgets]
            axis.plot(budgets, means, style, label=f"chosen: {how}")
            axis.plot(*zip(*points), ".", color=axis.lines[-1].get_color(), alpha=0.5)
        axis.set(title=shift, xlabel="corrected frames", xticks=[0, *BUDGETS])
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("gain in pooled Dice on the audit")
    axes[0][0].legend(fontsize=8)
    make_folder(path.parent)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    raise SystemExit(main())
