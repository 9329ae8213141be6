"""`velum submit`: send files to a service that hides in them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from velum.cli import common, jobs, options
from velum.cli.common import count_labels
from velum.cli.progress import fetch_result, wait_for_end
from velum.errors import BadInput, BadPlan, LimitExceeded, OutputFailed, VelumError, printable

if TYPE_CHECKING:
    from velum.client import Client, Job
    from velum.client.transfers import Progress
    from velum.plan import Plan

Sources = Annotated[
    list[str],
    typer.Argument(metavar="FILE", help="Images or videos; or http(s) URLs that the service downloads."),
]
PlanName = Annotated[
    str | None,
    typer.Option(
        "--plan", "-p", metavar="FILE|NAME", help="Plan file (TOML or JSON), or the name of a plan of the service."
    ),
]
Target = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="DST", help="Wait for the result and write it to this file or folder."),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the result and write it beside the source.")]
Priority = Annotated[
    int, typer.Option("--priority", metavar="N", help="Higher runs first; above 0 needs a key with scope operate.")
]
Webhook = Annotated[
    str | None, typer.Option("--webhook", metavar="URL", help="URL that the service calls when the job ends.")
]


def submit(
    sources: Sources,
    output: Target = None,
    wait: Wait = False,
    rule: options.Rules = [],
    hide_labels: options.Labels = [],
    technique: options.With = None,
    plan: PlanName = None,
    keep: options.Keep = [],
    keep_out: options.KeepOut = [],
    quality: options.Quality = None,
    effort: options.Effort = None,
    regions: options.Regions = None,
    keep_person: options.KeepPerson = [],
    only_person: options.OnlyPerson = [],
    priority: Priority = 0,
    webhook: Webhook = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    server: jobs.Server = None,
    token_file: jobs.TokenFile = None,
    every: options.Every = None,
    two_pass: options.TwoPass = None,
    smart: options.Smart = None,
    track: options.Track = None,
    codec: options.Codec = None,
    crf: options.Crf = None,
    preset: options.Preset = None,
    size: options.Size = None,
    audio: options.Audio = None,
    subtitles: options.Subtitles = None,
    on_damage: options.OnDamage = None,
) -> None:
    """Send files to a service as jobs and print the id of each; see velum jobs."""
    video = options.video_fields(locals())
    if regions and len(sources) > 1:
        raise typer.BadParameter("--regions belongs to one file; submit files with regions one by one")
    options.check_people(regions, keep_person, only_person)
    people = options.people_of(keep_person, only_person)
    destination = _place(output, many=len(sources) > 1, overwrite=overwrite)
    if wait and output is None and not overwrite:
        _check_free(sources)
    with jobs.service(server, token_file) as client:
        plan_options = options.PlanOptions(None, rule, hide_labels, technique, keep, keep_out, quality, effort, video)
        job_options = {
            "plan": _plan_of_job(client, plan, plan_options), "priority": priority, "webhook": webhook,
            "regions": common.read_annotations(regions) if regions else None, "people": people,
        }  # fmt: skip
        run = _Run(client, destination, waiting=wait or output is not None, overwrite=overwrite, json=json)
        run.all(sources, job_options)


def _plan_of_job(client: "Client", name: str | None, plan_options: options.PlanOptions) -> "Plan | str | None":
    """Return the plan of a job, or the name of a plan of the service; None for the default plan of the service.

    `name` is what follows --plan: a file or the name of a plan of the service.
    """
    others = any(
        (
            plan_options.rules,
            plan_options.labels,
            plan_options.technique,
            plan_options.keep,
            plan_options.keep_out,
            plan_options.quality,
            plan_options.effort,
            plan_options.video,
        )
    )
    if name is None and not others:
        return None
    if name is not None and not _is_file(name):
        if others:
            raise BadPlan(f"--plan {name} is a plan of the service and goes without options that change it")
        return name
    rules = [*plan_options.rules, *_rules(client, plan_options.labels, plan_options.technique)]
    technique = None if plan_options.labels else plan_options.technique
    return replace(plan_options, file=name, rules=rules, labels=(), technique=technique).plan()


def _is_file(plan: str) -> bool:
    return Path(plan).suffix.lower() in {".json", ".toml"} or "/" in plan or Path(plan).is_file()


def _rules(client: "Client", labels: Sequence[str], technique: str | None) -> Iterator[str]:
    """Yield a rule for each label and localizer that the service uses. Raises `BadPlan` for other labels."""
    chosen = common.split_commas(labels)
    if not chosen:
        return
    from velum.locate.labels import canonical

    techniques = {entry.label: entry.chosen for entry in client.labels()}
    for label in map(canonical, chosen):
        if label not in techniques:
            raise BadPlan(f"the service cannot detect {label!r}; it detects {', '.join(sorted(techniques))}")
        for name in techniques[label]:
            yield f"{label}: {name} -> {technique or 'blacken'}"


def _check_free(sources: Sequence[str]) -> None:
    """Raise `OutputFailed` when the likely result of a source is a file that exists."""
    for source in sources:
        path = Path(source)
        likely = path.with_name(f"{path.stem}.hidden{path.suffix}")
        if path.is_file() and likely.exists():
            raise OutputFailed(
                f"{likely} exists, and the result of {source} would be written to it; nothing was sent: choose another "
                "name with -o, or --overwrite"
            )


def _place(output: Path | None, *, many: bool, overwrite: bool) -> Path | None:
    """Return the file or folder for results. Raises `OutputFailed` before anything is sent."""
    if output is None or output.is_dir():
        return output
    if many:
        try:
            output.mkdir(parents=True, exist_ok=overwrite)
        except OSError as error:
            raise OutputFailed(f"cannot make folder {output} for the results: {error.strerror or error}") from error
    elif output.exists() and not overwrite:
        raise OutputFailed(f"cannot write {output}: it exists; choose another name, or --overwrite")
    elif not output.parent.is_dir():
        raise OutputFailed(f"cannot write {output}: there is no folder {output.parent}; create it first")
    return output


@dataclass(slots=True)
class _Run:
    """Submits all files of one command. When one of several fails, the others go on."""

    client: "Client"
    destination: Path | None
    waiting: bool
    overwrite: bool
    json: bool
    failed: int = 0

    def all(self, sources: Sequence[str], job_options: Mapping[str, Any]) -> None:
        """Submit all sources; then wait and download results when asked to. Exits with 1 when some failed."""
        alone = len(sources) == 1
        handed: list[tuple[str, Job]] = []
        for source in sources:
            # A service that cannot be reached ends the command: it would not take the other files either.
            with self._lenient(BadInput, LimitExceeded, alone=alone):
                handed.append((source, self._hand_in(source, job_options)))
        for source, job in handed if self.waiting else ():
            with self._lenient(VelumError, alone=alone):
                self._see_through(source, job)
        if self.failed:
            raise typer.Exit(1)

    @contextmanager
    def _lenient(self, *kinds: type[VelumError], alone: bool) -> Iterator[None]:
        try:
            yield
        except kinds as error:
            if alone:
                raise
            self.failed += 1
            common.fail(str(error))

    def _hand_in(self, source: str, job_options: Mapping[str, Any]) -> "Job":
        with _sending(source) as progress:
            job = self.client.submit(source, progress=progress, **job_options)
        if self.json and not self.waiting:
            common.print_json(jobs.as_json(job, source=source))
        else:
            # When results follow, they are the output; the id goes to standard error, for users who stop waiting.
            typer.echo(printable(f"{job.id}  {job.name}"), err=self.waiting)
        return job

    def _see_through(self, source: str, job: "Job") -> None:
        ended = wait_for_end(self.client, job)
        if error := jobs.job_error(ended):
            if self.json:
                common.print_json(jobs.as_json(ended, source=source, target=None))
            raise error
        target = fetch_result(self.client, ended, self._target(source, ended), overwrite=self.overwrite)
        report = self.client.report(ended)
        for warning in report.get("warnings", ()):
            common.warn(f"{source}: {warning}")
        if self.json:
            common.print_json(jobs.as_json(ended, source=source, target=str(target)))
        else:
            typer.echo(f"{printable(str(target))}: {count_labels(_label_counts(report))} hidden")

    def _target(self, source: str, job: "Job") -> Path:
        name = jobs.result_name(job)
        if self.destination is None:
            folder = Path() if source.lower().startswith(("http://", "https://")) else Path(source).parent
            return folder / name
        return self.destination / name if self.destination.is_dir() else self.destination


@contextmanager
def _sending(source: str) -> Iterator["Progress"]:
    from velum.cli.progress import fetch_progress

    name = Path(source).name
    with fetch_progress("sending") as progress:
        yield lambda done, total: progress(name, done, total)


def _label_counts(report: Mapping[str, Any]) -> Mapping[str, int]:
    """Return the number of hidden objects by label: regions of images, tracks of videos."""
    counts: dict[str, int] = {}
    for item in (*report.get("hidden", ()), *report.get("tracks", ())):
        counts[str(item["label"])] = counts.get(str(item["label"]), 0) + 1
    return counts
