"""`velum evaluate` and `velum strength`: measure what a plan finds and hides, and what a technique leaves."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from velum.cli import common, options
from velum.errors import BadPlan

if TYPE_CHECKING:
    from velum.engine.part_cache import PartCache
    from velum.evaluation.evaluator import Evaluate, Progress
    from velum.evaluation.ground_truth import GroundTruth
    from velum.evaluation.metrics import Rate
    from velum.evaluation.reidentification.attack import AttackResult
    from velum.evaluation.requirements import RequirementResult
    from velum.evaluation.result import Evaluation
    from velum.evaluation.thresholds import RecallTarget, ThresholdChoice
    from velum.plan import Plan
    from velum.plugins import Technique


TruthPath = Annotated[
    Path, typer.Option("--truth", "-t", metavar="PATH", help="Ground truth: COCO, VOC, YOLO or velum's own format.")
]
Media = Annotated[
    Path | None,
    typer.Option("--media", metavar="DIR", help="Folder of the images and videos. Default: that of the truth."),
]
Recall = Annotated[
    float | None,
    typer.Option("--recall", metavar="SHARE", help="Choose thresholds that reach this recall, such as 0.95."),
]
MinHeight = Annotated[
    int, typer.Option("--min-height", min=0, metavar="PX", help="Smallest object that counts for --recall, in pixels.")
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the plan with the chosen thresholds to this file."),
]
ProfileName = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Also say whether the plan finds enough for a set of requirements (a profile): gbt-44464-2024, strict, or "
        "a TOML file of your own.",
    ),
]
Html = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write an HTML page with plots and the worst misses. It shows people."),
]
Iou = Annotated[
    float | None,
    typer.Option(
        "--iou",
        metavar="SHARE",
        min=0.05,
        max=0.95,
        help="Overlap (IoU) from which a detection matches an object. Default: 0.3.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the whole result as JSON.")]
Sources = Annotated[
    list[Path], typer.Argument(metavar="SRC", help="Images with faces, or folders of them; one image a person.")
]
Techniques = Annotated[
    list[str],
    typer.Option(
        "--with",
        metavar="TECHNIQUE",
        help="Technique to test; repeatable. Default: the built-in ones at several degrees.",
    ),
]
Locate = Annotated[str, typer.Option("--locate", metavar="NAME", help="Localizer that finds the faces.")]
FaceHeight = Annotated[
    int, typer.Option("--min-height", metavar="PX", min=8, help="Smallest face to use, in pixels of height.")
]
HiddenHeights = Annotated[
    list[int],
    typer.Option(
        "--face-height", metavar="PX", min=8, max=1000,
        help="Height of the faces when they are hidden, in pixels; repeatable. Default: 91.",
    ),
]  # fmt: skip
TrainedNetwork = Annotated[
    bool, typer.Option("--network", help="Attack with a trained network as well (dlib-resnet); takes much longer.")
]
Voices = Annotated[
    bool,
    typer.Option(
        "--audio",
        help="Attack sound: SRC has a folder of recordings for each speaker; --with is silence, speech-mute, voice.",
    ),
]
LinesJson = Annotated[bool, typer.Option("--json", help="Print each result as a line of JSON.")]
Most = Annotated[
    int,
    typer.Option(
        "--most", metavar="N", min=10, max=300, help="Number of faces to use at most; each takes memory and time."
    ),
]


def evaluate(
    truth: TruthPath, media: Media = None, rule: options.Rules = [], hide_labels: options.Labels = [],
    plan: options.PlanFile = None, effort: options.Effort = None, recall: Recall = None, min_height: MinHeight = 0,
    output: Output = None, profile: ProfileName = None, html: Html = None, iou: Iou = None, json: Json = False,
    overwrite: options.Overwrite = False,
) -> None:  # fmt: skip
    """Measure how many labelled objects a plan finds and hides. Exit 1: it is less than --profile requires."""
    from velum.cli.progress import fetch_progress, file_progress
    from velum.engine.engine import Engine
    from velum.evaluation import requirements, thresholds
    from velum.evaluation.evaluator import MATCH_IOU, Evaluate
    from velum.evaluation.ground_truth import read
    from velum.evaluation.result import Evaluation
    from velum.settings import Settings

    # Report mistakes before the first image is read.
    chosen_plan = options.PlanOptions(plan, rule, hide_labels, effort=effort).plan()
    if (recall is None) != (output is None):
        raise BadPlan("--recall chooses thresholds and --output writes them to a plan; give both options, or none")
    target = None if recall is None else thresholds.RecallTarget(recall, min_height)
    against = None if profile is None else requirements.load_profile(profile)
    settings = Settings.load()
    files = read(truth, media, settings.limits())
    with fetch_progress() as fetching, file_progress("evaluating") as progress:
        host = settings.host(fetching, mode="throughput")
        with Engine(host=host, limits=settings.limits()) as engine:
            run = Evaluate(engine, settings.limits(), MATCH_IOU if iou is None else iou)
            choices: tuple[thresholds.ThresholdChoice, ...] = ()
            if target is not None:
                chosen_plan, choices = _choose_thresholds(run, files, chosen_plan, target, progress)
            observed = run(files, chosen_plan, progress=progress)
    labels = tuple(rule.label for rule in chosen_plan.rules)
    standing = None if against is None else requirements.judge_requirements(observed, against, labels)
    done = Evaluation(files, chosen_plan, observed, run.least_iou, standing, target, choices)
    if output is not None:
        common.write_text(output, _plan_text(output, chosen_plan), overwrite=overwrite)
    if html is not None:
        _write_page(html, done, overwrite=overwrite)
    _print_result(done, json=json)
    if done.meets_profile is False:
        raise typer.Exit(1)


def strength(
    sources: Sources, techniques: Techniques = [], locate: Locate = "centerface", min_height: FaceHeight = 32,
    most: Most = 150, face_height: HiddenHeights = [], network: TrainedNetwork = False, json: LinesJson = False,
    audio: Voices = False,
) -> None:  # fmt: skip
    """Hide faces of your images with each technique, then attack: count the faces that are still identified."""
    if audio:
        _attack_voices(sources, techniques, json=json)
        return
    from velum.batch.arrange import arrange
    from velum.cli.progress import fetch_progress
    from velum.engine.part_cache import PartCache
    from velum.evaluation.reidentification.attack import TECHNIQUES, AttackTrial
    from velum.evaluation.reidentification.samples import FACE_HEIGHT, faces
    from velum.people import DEFAULT_EMBEDDING
    from velum.settings import Settings
    from velum.spec import PartSpec

    settings = Settings.load()
    with fetch_progress() as progress:
        parts = PartCache(settings.host(progress, mode="throughput"))
        try:
            # Report mistakes before the first image is read.
            named = {"nothing": None} | {text: _technique(text, parts) for text in techniques or TECHNIQUES}
            pictures = [job.source for source in sources for job in arrange([source], None)[0]]
            samples = faces(pictures, parts.localizer(PartSpec.parse(locate)), settings.limits(), min_height)
            embedder = parts.embedder(DEFAULT_EMBEDDING) if network else None
            heights = tuple(dict.fromkeys(face_height)) or (FACE_HEIGHT,)
            trial = AttackTrial(list(islice(samples, most)), network=embedder, face_heights=heights)
        finally:
            parts.close()
    results: list[AttackResult] = []
    for name, technique in named.items():
        results.extend(trial.results(name, technique))
        typer.echo(f"{name} tested", err=True)
    _print_attacks(results, json=json)


def _attack_voices(sources: Sequence[Path], modes: Sequence[str], *, json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from velum.cli.progress import fetch_progress
    from velum.evaluation.reidentification import voices
    from velum.locate.embedding.resemblyzer import Resemblyzer
    from velum.settings import Settings

    settings = Settings.load()
    chosen = voices.check_modes(modes)
    if len(sources) != 1:
        raise BadPlan(f"--audio takes one folder, with a folder for each speaker, not {len(sources)} sources")
    speakers = voices.find_recordings(sources[0])
    with fetch_progress() as progress, common.engine() as engine:
        trial = voices.VoiceTrial(speakers, engine, Resemblyzer(settings.host(progress)))
        results = []
        for mode in (None, *chosen):
            results += trial.results(mode)
            typer.echo(f"{mode or 'nothing'} tested", err=True)
    if json:
        for result in results:
            common.print_json(result.to_json())
        return
    table = Table(*voices.VOICE_HEADING, box=None, pad_edge=False)
    for result in results:
        table.add_row(*result.row)
    Console().print(table)
    typer.echo(voices.describe_luck(results[0]))


def _choose_thresholds(
    run: "Evaluate", truth: "GroundTruth", plan: "Plan", target: "RecallTarget", progress: "Progress"
) -> "tuple[Plan, tuple[ThresholdChoice, ...]]":
    from velum.evaluation import thresholds

    searched = run(truth, thresholds.make_search_plan(plan, run.engine), progress=progress)
    return thresholds.choose(searched, plan, target, run.engine)


def _plan_text(path: Path, plan: "Plan") -> str:
    import json

    return json.dumps(plan.to_json(), indent=2) + "\n" if path.suffix.lower() == ".json" else plan.to_toml()


def _write_page(path: Path, done: "Evaluation", *, overwrite: bool) -> None:
    from velum.evaluation.html_report import MOST_DRAWN, draw_misses, render_page
    from velum.settings import Settings

    paths = {item.name: item.path for item in done.truth.items}
    pictures = draw_misses(done.misses[:MOST_DRAWN], paths, Settings.load().limits())
    common.write_text(path, render_page(done, pictures), overwrite=overwrite)


def _print_result(done: "Evaluation", *, json: bool) -> None:
    for reason in done.observed.left_out:
        common.warn(f"left out: {reason}")
    if json:
        common.print_json(done.to_json())
        return
    _print_table(done)
    for note in done.notes:
        typer.echo(f"note: {note}")
    for choice in done.choices:
        found_rate, right = choice.chosen.found, choice.chosen.right
        says = "" if right.share is None else f"; {right.share:.1%} of all detections are right"
        typer.echo(
            f"chosen: {choice.label} at {choice.chosen.threshold:g} finds {found_rate.hits} of {found_rate.total}{says}"
        )
    if done.standing is not None:
        for result in done.standing.results:
            typer.echo(f"{'met' if result.is_met else 'NOT MET'}  {result.demand.label}: {_demand_text(result)}")
        for label in done.standing.not_asked:
            typer.echo(f"NOT MET  {label}: the plan has no rule for this label")
        typer.echo(f"{done.standing.profile.title}: {'passed' if done.meets_profile else 'not passed'}")


def _demand_text(result: "RequirementResult") -> str:
    false = (
        ""
        if result.demand.false_rate is None
        else f", false detections {_share(result.false)} of {result.demand.false_rate:.0%}"
    )
    sure = "" if result.is_sure or not result.is_met else "; the sample is too small to be certain"
    return f"detected {_share(result.detected)} of {result.demand.detection_rate:.0%} wanted{false}{sure}"


def _print_table(done: "Evaluation") -> None:
    from rich.console import Console
    from rich.table import Table

    from velum.evaluation import metrics

    table = Table(box=None, pad_edge=False)
    hidden = [f"hidden {level:.0%}" for level in metrics.COVERED]
    for index, title in enumerate(("label", "kind", "found", "recall", "95 % interval", *hidden, "mean share")):
        table.add_column(title, justify="right" if index > 1 else "left", no_wrap=True)
    for row in (*metrics.by_size(done.observed.outcomes), *metrics.by_tag(done.observed.outcomes)):
        low, high = row.found.interval
        table.add_row(
            row.label, row.kind, f"{row.found.hits}/{row.found.total}", _share(row.found), f"{low:.3f} to {high:.3f}",
            *map(_share, row.hidden), f"{row.covered:.3f}",
        )  # fmt: skip
    console = Console()
    # A pipe gets the table at full width.
    Console(width=console.width if console.is_terminal else 160).print(table)
    for label, rate in metrics.precision(done.observed).items():
        typer.echo(f"{label}: {rate.total - rate.hits} of {rate.total} detections are false, precision {_share(rate)}")
    if done.observed.videos:
        frames, tracks = metrics.frames(done.observed), metrics.tracks(done.observed)
        exposed = sum(track.exposed > 0 for track in tracks)
        of_tracks = f"; {exposed} of {len(tracks)} tracks are exposed at some time" if tracks else ""
        typer.echo(f"videos: {frames.hits} of {frames.total} labelled frames are exposed{of_tracks}")


def _share(rate: "Rate") -> str:
    return "-" if rate.share is None else f"{rate.share:.3f}"


def _technique(text: str, parts: "PartCache") -> "Technique":
    """Return the technique. Raises `BadPlan` for one that cannot hide faces."""
    from velum.engine.prepare import prepare
    from velum.limits import Limits
    from velum.plan import Plan, Rule
    from velum.spec import PartSpec

    rule = Rule("face", PartSpec("nothing"), PartSpec.parse(text))
    return prepare(Plan((rule,)), parts, Limits(), locate=False).rules[0].technique


def _print_attacks(results: Sequence["AttackResult"], *, json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from velum.evaluation.reidentification.attack import HEADING, describe_chance, network_attacks, result_row

    if json:
        for result in results:
            common.print_json(result.to_json())
        return
    table = Table(box=None, pad_edge=False)
    for index, title in enumerate((*HEADING[:-1], *network_attacks(results[0]), HEADING[-1], "face")):
        table.add_column(title, justify="right" if index > 1 else "left", no_wrap=True)
    for result in results:
        table.add_row(*result_row(result), f"{result.face_height} px")
    Console().print(table)
    typer.echo(describe_chance(results[0]))
