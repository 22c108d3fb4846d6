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
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from surgseg.files import make_folder, read_json, write_json  # noqa: E402

OPERATIONS = (("op1", "op2"), ("op2", "op3"), ("op3", "op1"))
SYNTHETIC = "aligned to shifted"
BUDGETS, WAYS = (5, 10, 20), ("suspicion", "random")
PSEUDO = "--pseudo-labels 0.1 0.9"
ARMS = {  # name: (way to choose, corrected frames, options of the fine-tuning)
    "statistics only": ("suspicion", 0, None),
    "pseudo-labels only": ("suspicion", 0, PSEUDO),
    **{f"{how} {budget}": (how, budget, "") for budget in BUDGETS for how in WAYS},
    "no mixing": ("suspicion", 10, "no mixing"),
    **{
        f"{how} {budget}, pseudo-labels": (how, budget, PSEUDO) for budget in BUDGETS for how in ("suspicion", "random")
    },
    "no mixing, pseudo-labels": ("suspicion", 10, f"{PSEUDO} no mixing"),
    "rate 0.001, pseudo-labels": ("suspicion", 10, f"{PSEUDO} --lr 0.001 --backbone-rate 0.3"),
    "20 epochs": ("suspicion", 10, "--epochs 20"),
}
AUDIT = {True: 40, False: 12}  # frames of the audit, of a synthetic video and of an operation
SCENES, BURST, APART = 100, 3, 240  # of the synthetic video: positions, frames of each, frames between two
SIZE = (240, 428)  # of the synthetic frames, pixels


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
    shifts = [SYNTHETIC, *(f"{old} to {new}" for old, new in OPERATIONS if args.data_root)]
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
    return logged(make_shift)(args, shift)


def run_arm(args, shift: str, seed: int, arm: str, deadline: float) -> int:
    return logged(fine_tune)(args, shift, seed, arm, deadline)


def call(script, *words) -> None:
    """Call the `main` of a script. Raises an error unless its exit status is 0."""
    status = script.main([str(word) for word in words])
    if status:
        raise RuntimeError(f"{script.__name__} ended with status {status}")


def make_shift(args, shift: str) -> None:
    """Train on the old data, and apply the model to the new frames: base/, new/ (generated), truth/ (its masks)."""
    import instrument_segmentation

    folder = folder_of(args, shift)
    if shift == SYNTHETIC:
        old, split = draw_old(folder), "video"
    else:
        old, split = operation_of(args.data_root, shift.split()[0], folder / "old"), "time"
    call(
        instrument_segmentation, "--data-root", old, "--split", split, "--arch", "lite-unet", "--weights", "imagenet",
        "--image-size", *args.image_size, "--epochs", args.base_epochs, "--output-dir", folder / "base",
        "--cache-dir", folder / "cache", "--save-preds", folder / "base" / "preds",
    )  # fmt: skip
    frames = new_synthetic() if shift == SYNTHETIC else new_operation(args.data_root, shift.split()[-1])
    apply_model(folder, frames)


def draw_old(folder: Path) -> Path:
    """Draw the aligned stream and prepare it."""
    import prepare_full_dataset
    from surgseg.synthetic.release import write_release

    write_release(folder / "stream", 10, 4, 2, SIZE, seed=3, workers=1)
    call(prepare_full_dataset, "--source-root", folder / "stream", "--output-root", folder / "old")
    return folder / "old"


def operation_of(root: Path, video: str, target: Path) -> Path:
    """Make a prepared folder of one video of another prepared folder. The frames and masks are linked."""
    from surgseg.data.dataset import load_prepared
    from surgseg.data.manifest import read_manifest, write_manifest

    samples = [sample for sample in load_prepared(root).samples if sample.video == video]
    for sample in samples:
        for part, path in (("frames", sample.frame), ("masks", sample.mask)):
            (make_folder(target / part) / path.name).symlink_to(path.resolve())
    shutil.copy(root / "classes.json", target)
    names = {sample.name for sample in samples}
    write_manifest(target, [{**row, "split": ""} for row in read_manifest(root) if row["name"] in names])
    return target


def new_operation(root: Path, video: str):
    """Yield (number, seconds, frame, true ids) of a video of a prepared folder; a frame every 2 seconds."""
    from surgseg.data.dataset import load_prepared, read_sample

    prepared = load_prepared(root)
    samples = sorted((s for s in prepared.samples if s.video == video), key=lambda sample: sample.number)
    for number, sample in enumerate(samples):
        yield number, 2.0 * number, *read_sample(sample, prepared.scheme.num_classes)


def new_synthetic():
    """The same of a shifted synthetic video: bursts of frames, ten seconds apart."""
    from surgseg.labels import SCHEMES
    from surgseg.synthetic.scenes import draw_frame

    table = SCHEMES["binary"].lookup()
    for scene in range(SCENES):
        for number in range(scene * APART, scene * APART + BURST):
            frame, codes = draw_frame(11, 1, number, SIZE, "shifted")
            ids = table[codes]
            yield number, number / 25, frame, np.where(ids < 0, 255, ids).astype(np.uint8)


def apply_model(folder: Path, frames) -> None:
    """Write new/, a generated folder of the frames with the base model's masks, and truth/, their true masks."""
    import torch

    from surgseg.checkpoint import load_checkpoint
    from surgseg.generate.writer import GeneratedWriter
    from surgseg.masks import write_mask
    from surgseg.predict import Predictor
    from surgseg.video.reader import Frame
    from surgseg.view import find_view

    checkpoint = load_checkpoint(folder / "base" / "instrument_segmentation_model.pth")
    predictor = Predictor(checkpoint, torch.device("cpu"), keep_probability=True)
    items = list(frames)
    view = find_view([frame for _, _, frame, _ in items[:: max(1, len(items) // 24)]])
    bursts = BURST if items[1][1] - items[0][1] < 0.2 else 1
    run = {"sampling": {"burst": bursts}, "weights_sha256": checkpoint.sha256, "video": {}, "threshold": 0.5}
    run["weights_data"] = run["video_data"] = "synthetic" if bursts > 1 else "real"
    parts = {"frames": "png", "masks": "png", "probabilities": "png"}
    writer = GeneratedWriter(folder / "new", checkpoint.scheme, "new", parts)
    writer.begin(run)
    for number, seconds, frame, truth in items:
        found = predictor.predict(frame[None], view)
        stored = writer.store(
            Frame(number, seconds, frame, False), found.ids[0], found.measures.of_frame(0), found.probability[0]
        )
        writer.commit(stored)
        write_mask(folder / "truth" / f"{stored.row.name}.png", truth, checkpoint.scheme)
    writer.finish(run)


def fine_tune(args, shift: str, seed: int, arm: str, deadline: float) -> None:
    """Review the chosen frames by their ground truth, fine-tune, and write result.json."""
    import instrument_segmentation
    from surgseg.checkpoint import load_checkpoint

    folder, source = folder_of(args, shift, seed, arm), folder_of(args, shift)
    how, budget, options = ARMS[arm]
    review(source, folder / "new", how, budget, AUDIT[shift == SYNTHETIC], seed)
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


def review(source: Path, target: Path, how: str, budget: int, audit: int, seed: int) -> None:
    """Make a copy of the generated folder (its images are linked), with the audit and `budget` frames reviewed."""
    from surgseg.generate.folder import read_generated
    from surgseg.review.select import select
    from surgseg.review.suspicion import read_features
    from surgseg.reviews import AuditSample, reviewed_path, write_audit_sample, write_reviews

    shutil.rmtree(target, ignore_errors=True)
    make_folder(target / "reviewed")
    for name in ("classes.json", "frames.csv", "run.json"):
        shutil.copy(source / "new" / name, target)
    for part in ("frames", "masks", "probabilities"):
        (target / part).symlink_to((source / "new" / part).resolve())
    generated = read_generated(target)
    chosen = select(
        generated, read_features(generated), {}, AuditSample(), budget=max(BUDGETS), count=audit, seed=seed, how=how
    )
    rows = []
    for row in chosen.reviews.values():
        if row.purpose == "audit" or row.rank <= budget:
            shutil.copy(source / "truth" / f"{row.name}.png", reviewed_path(target, row.name))
            row = replace(row, status="corrected")
        rows.append(row)
    write_audit_sample(target, chosen.audit)
    write_reviews(target, rows)


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
