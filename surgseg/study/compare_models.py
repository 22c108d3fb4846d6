"""Architectures compared: the same split, seed and schedule, one model after the other through the same training.

What is finished is not trained or scored again, and a run of one model never loses another's results: rows of an
earlier `comparison.json` stay as long as its split, seeds, folds and settings are those of now.
"""

from __future__ import annotations

import argparse
from typing import Any

from models import parameter_count
from surgseg.console import PARTIAL, seed_everything
from surgseg.data.cache import open_cache
from surgseg.data.dataset import Prepared
from surgseg.data.splits import video_folds
from surgseg.files import UserError, check_folder
from surgseg.pretraining import default_weights
from surgseg.scores.report import heading
from surgseg.study.comparison import LABELS
from surgseg.study.report import comparison_block, pretraining_sentence, run_name, unfinished
from surgseg.study.results import Job, Results, content_hash, make_header
from surgseg.study.scoring import score
from surgseg.training import options
from surgseg.training.fit import Fitted, Machine, Plan, check_plan, finish, fit, follow_start, start_model
from surgseg.training.history import write_history
from surgseg.training.loop import CTRL_C, Settings

SCRATCH = "_scratch"  # ends the name of a model that starts from random weights


def run_comparison(args: argparse.Namespace, prepared: Prepared, machine: Machine, record: dict[str, Any]) -> int:
    """Train and score every model, write and print the comparison; `record` is the run's metadata.

    Returns the exit status: 3 where it was stopped. Raises `UserError` for options that fit no run, before any work.
    """
    check_folder(args.output_dir)
    jobs, seeds = make_jobs(args, prepared.samples)
    plans = make_plans(args, prepared)
    for job in jobs:
        check_plan(follow_start(plans[job.model]), _settings(args, job.seed), machine)
    print(f"Data: {prepared.root} ({prepared.data}), {len(prepared.samples)} frames, {len(prepared.videos)} videos")
    for split in {job.fold: job.split for job in jobs}.values():
        print(options.describe_split(split, prepared.samples))
    for _ in machine.processes.in_turn():  # what is missing or cannot be fetched is said before hours of training
        facts = {model: start_facts(model, plan, prepared) for model, plan in plans.items()}
        image_size = follow_start(plans[jobs[0].model]).image_size
        cache = open_cache(prepared.samples, image_size, prepared.scheme, machine.cache_dir)
    if sentence := pretraining_sentence(facts):
        print(sentence)
    header = make_header(args, prepared, jobs, seeds, image_size, content_hash(cache))
    results = Results(args.output_dir / "comparison.json", header, facts, jobs, record)
    if machine.processes.first:
        results.take_earlier()
    stopped = _work_off(args, prepared, machine, record, jobs, plans, results)
    if not machine.processes.first:
        return 0
    comparison = results.write()
    print(comparison_block(comparison))
    print(f"\nWritten:\n  {results.path}\n  {args.output_dir}: weights, histories and metrics of each model")
    if stopped:
        print(f"Stopped ({stopped}). {results.path.name} is {unfinished(comparison) or 'whole.'}")
    return PARTIAL if stopped or not comparison["complete"] else 0


def _work_off(args, prepared: Prepared, machine: Machine, record, jobs: list[Job], plans, results) -> str:
    """Train and score what is not finished; why it ended early, "" where it did not."""
    reason = ""
    try:
        for job in jobs:
            fitted = train(args, prepared, machine, job, plans[job.model], record)
            stopped = machine.processes.from_first(lambda fitted=fitted: fitted.stopped)
            if stopped == CTRL_C:
                return CTRL_C
            if stopped:  # a loss that broke; the other models need not suffer from it
                print(f"{LABELS[job.model]} stopped early: {stopped}")
                reason = stopped
            elif machine.processes.first:
                results.add(job, score(args, prepared, machine, job, fitted, record))
                finish(fitted)
            del fitted  # its model would count in the next one's memory
    except KeyboardInterrupt:
        return CTRL_C
    return reason


def train(args: argparse.Namespace, prepared: Prepared, machine: Machine, job: Job, plan: Plan, record) -> Fitted:
    """The run of one job, trained, gone on with, or found finished; its history stands beside it in any case."""
    print(heading(f"{LABELS[job.model].upper()}: {run_name(job.facts)}, {len(job.split.parts['train'])} frames train"))
    seed_everything(job.seed)
    folder = args.output_dir / job.folder
    fitted = fit(
        prepared,
        job.split,
        plan,
        _settings(args, job.seed),
        machine,
        weights_path=folder / f"{job.model}_model.pth",
        history_path=folder / f"{job.model}_history.json",
        record=record,
        resume="may",
        facts=job.facts,
    )
    if machine.processes.first and not fitted.stopped:  # another run's may have replaced it since
        training = fitted.checkpoint.training
        facts = {"arch": plan.arch, "data": prepared.data, "pretraining": training["start"]}
        write_history(fitted.history_path, fitted.history, {**job.facts, **facts, "chosen_epoch": fitted.chosen_epoch})
    return fitted


def make_jobs(args: argparse.Namespace, samples: list) -> tuple[list[Job], list[int]]:
    """Every training that the options ask for, seed by seed and fold by fold, and the seeds.

    The split is made once, by `--seed`. Raises `UserError` where nothing would be left to score.
    """
    seeds = list(dict.fromkeys(args.seeds or [args.seed]))
    folds: list[int | None] = [args.fold]
    if args.folds and args.fold is None:
        folds = list(range(1, len(video_folds(samples, args.folds)) + 1))
    splits = {fold: options.make_split(argparse.Namespace(**{**vars(args), "fold": fold}), samples) for fold in folds}
    for split in splits.values():
        if split.scored_part is None:
            raise UserError(f"split {split.name!r} has neither a test nor a validation part: nothing to compare on")
    jobs = []
    for seed in seeds:
        for fold, split in splits.items():
            levels = [f"seed_{seed}"] * (len(seeds) > 1) + [f"fold_{fold}"] * (len(folds) > 1)
            jobs += [Job(model, seed, fold, split, "/".join(levels)) for model in dict.fromkeys(args.models)]
    return jobs, seeds


def make_plans(args: argparse.Namespace, prepared: Prepared) -> dict[str, Plan]:
    """The `Plan` of each model, its start spelled out, so that an option that changes nothing trains nothing again."""
    if args.init_from is not None:
        raise UserError("--init-from starts one architecture only: --weights names the backbone's start here")
    plans = {}
    for model in dict.fromkeys(args.models):
        arch = model.removesuffix(SCRATCH)
        weights = "none"
        if model == "deeplabv3":
            weights = args.weights or default_weights(arch, prepared.data)
        own = {**vars(args), "arch": arch, "weights": weights}
        plans[model] = options.plan_and_settings(argparse.Namespace(**own))[0]
    if args.weights not in (None, "none") and "deeplabv3" not in plans:
        raise UserError(f"--weights {args.weights} starts a deeplabv3, which is not among --models")
    names = [f"deeplabv3{SCRATCH}", "deeplabv3"]
    if all(name in plans for name in names) and plans[names[0]] == plans[names[1]]:
        raise UserError(
            f"{names[1]} starts from random weights here (--weights none, or synthetic data), so {names[0]} is the "
            "same run: leave one out of --models"
        )
    return plans


def _settings(args: argparse.Namespace, seed: int) -> Settings:
    return options.plan_and_settings(argparse.Namespace(**{**vars(args), "arch": "unet", "seed": seed}))[1]


def start_facts(model: str, plan: Plan, prepared: Prepared) -> dict[str, Any]:
    """What a row of the comparison says of a model whatever its runs: name, start, size."""
    network, started_from, pretrained = start_model(plan, prepared)
    return {
        "arch": plan.arch,
        "label": LABELS[model],
        "pretraining": started_from,
        "pretrained": pretrained,
        "parameters": parameter_count(network),
        "plan": {"weights": plan.weights, "model_args": plan.model_args},
    }
