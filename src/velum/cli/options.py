"""Options that several commands share: the plan, annotation files, and videos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from velum.cli import common
from velum.errors import BadPlan

if TYPE_CHECKING:
    from velum.people import People
    from velum.plan import Plan

Rules = Annotated[
    list[str],
    typer.Option(
        "--rule", "-r", metavar="RULE",
        help="A rule: 'LABEL: LOCALIZER -> TECHNIQUE', such as 'face: centerface -> blur'. Repeatable.",
    ),
]  # fmt: skip
PlanFile = Annotated[
    str | None,
    typer.Option(
        "--plan", "-p", metavar="FILE|NAME",
        help="File with a plan (TOML or JSON), or a plan of velum (velum plan list), in place of --rule and --hide.",
    ),
]  # fmt: skip
Labels = Annotated[
    list[str],
    typer.Option("--hide", metavar="LABELS", help="Labels to hide, such as face,license_plate. List: velum labels."),
]
With = Annotated[
    str | None,
    typer.Option(
        "--with",
        "--technique",
        metavar="TECHNIQUE",
        help="Technique for --hide. Default: blacken. List: velum techniques.",
    ),
]
KeepOut = Annotated[
    list[str],
    typer.Option(
        "--keep-out", metavar="ZONE", help="Zone that is never hidden, such as 'fixed(box=[0,0,90,40])'. Repeatable."
    ),
]
KeepPerson = Annotated[
    list[str],
    typer.Option(
        "--keep-person",
        metavar="NAME=PHOTO",
        help="Do not hide this person's face; hide all others, and whoever is in doubt. Repeatable.",
        rich_help_panel="People",
    ),
]
OnlyPerson = Annotated[
    list[str],
    typer.Option(
        "--only-person",
        metavar="NAME=PHOTO",
        help="Hide this person's face, and whoever is in doubt; show those who are surely others. Repeatable.",
        rich_help_panel="People",
    ),
]
Keep = Annotated[
    list[str],
    typer.Option("--keep", metavar="KINDS", help="Metadata to keep, such as datetime,gps. Default: none is kept."),
]
Quality = Annotated[
    int | None,
    typer.Option(
        "--quality",
        metavar="N",
        min=1,
        max=100,
        help="Quality of lossy formats such as JPEG. Default: as in the source.",
    ),
]
Effort = Annotated[
    str | None,
    typer.Option(
        "--effort", metavar="LEVEL", help="How closely to look: fast, balanced or thorough. Default: balanced."
    ),
]
Regions = Annotated[
    Path | None,
    typer.Option(
        "--regions", metavar="FILE", help="Hide the regions in this annotation file (see velum locate); detect nothing."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that exist. Sources are never touched.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one line for each item, in place of text.")]

Every = Annotated[
    int | None,
    typer.Option(
        "--every",
        metavar="N",
        help="Detect in every N-th frame and track in between. Default: about every 0.3 s, as --effort says.",
        rich_help_panel="Video",
    ),
]
TwoPass = Annotated[
    bool | None,
    typer.Option(
        "--two-pass",
        help="Detect in the whole file first, so that gaps of any length are filled.",
        rich_help_panel="Video",
    ),
]
Smart = Annotated[
    bool | None,
    typer.Option(
        "--smart",
        help="Copy segments with nothing to hide; encode only the others. Two passes.",
        rich_help_panel="Video",
    ),
]
Track = Annotated[
    bool | None,
    typer.Option(
        "--track/--no-track",
        help="--track (default): also hide an object in the frames before and after those in which it is detected, as "
        "long as it is in sight. --no-track: hide it only where it is detected.",
        rich_help_panel="Video",
    ),
]
Codec = Annotated[
    str | None,
    typer.Option(
        "--codec",
        metavar="NAME",
        help="Video codec: h264, hevc, vp9, av1, ffv1. Default: as in the source.",
        rich_help_panel="Video",
    ),
]
Crf = Annotated[
    int | None,
    typer.Option(
        "--crf",
        metavar="N",
        min=0,
        max=63,
        help="Constant rate factor: lower is better and larger. Default: depends on the codec, 21 for H.264.",
        rich_help_panel="Video",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset", metavar="NAME", help="Preset of the encoder, such as fast or slow.", rich_help_panel="Video"
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="BOUND",
        help="like-source: no more bytes than the source's video, at lower quality where needed. Not for every codec.",
        rich_help_panel="Video",
    ),
]
Audio = Annotated[
    str | None,
    typer.Option(
        "--audio",
        metavar="MODE",
        help="Sound: copy (default), drop, silence, speech-mute (keep other sound), or voice (change voices; weak).",
        rich_help_panel="Video",
    ),
]
Subtitles = Annotated[
    str | None,
    typer.Option("--subtitles", metavar="MODE", help="Subtitles: copy (default) or drop.", rich_help_panel="Video"),
]
Mute = Annotated[
    str | None,
    typer.Option(
        "--mute", metavar="KINDS|RULE", rich_help_panel="Video",
        help="Mute what is said, by --transcript: 'phone|card', or text(match='phone', names='Jane Roe', regex='...').",
    ),
]  # fmt: skip
Bleep = Annotated[
    bool | None,
    typer.Option("--bleep", help="A tone sounds where --mute or --audio speech-mute mutes.", rich_help_panel="Video"),
]
OnDamage = Annotated[
    str | None,
    typer.Option(
        "--on-damage", metavar="MODE",
        help="Unreadable frames: fail (default), or cover (show black frames instead).", rich_help_panel="Video",
    ),
]  # fmt: skip
DropMember = Annotated[
    list[str],
    typer.Option(
        "--drop-member", metavar="GLOB", rich_help_panel="Archives and documents",
        help="Leave out members of an archive or a document that match, such as '*.emf'. Repeatable.",
    ),
]  # fmt: skip
CopyMember = Annotated[
    list[str],
    typer.Option(
        "--copy-member", metavar="GLOB", rich_help_panel="Archives and documents",
        help="Take over members of an unknown kind that match, such as '*.bin', as they are. Repeatable.",
    ),
]  # fmt: skip
Topics = Annotated[
    list[str],
    typer.Option(
        "--topics", metavar="GLOB", rich_help_panel="Archives and documents",
        help="Of a sensor log, take only topics that match, such as '/camera/*'; leave out all others. Repeatable.",
    ),
]  # fmt: skip

Render = Annotated[
    bool,
    typer.Option(
        "--render", rich_help_panel="Archives and documents",
        help="Make each page of a PDF a picture, to hide what it draws, also its text; links and forms are gone.",
    ),
]  # fmt: skip
Dpi = Annotated[
    int | None,
    typer.Option(
        "--dpi", metavar="N", min=50, max=600, rich_help_panel="Archives and documents",
        help="With --render: pixels for each inch of a page. Default: 200.",
    ),
]  # fmt: skip

_VIDEO_FIELDS = (
    "every", "two_pass", "smart", "track", "codec", "crf", "preset", "size", "audio", "mute",
    "bleep", "subtitles", "on_damage",
)  # fmt: skip
"""Names of the arguments above, which are those of the fields of `velum.plan.Video`."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The options that make up a plan: a file or rules, and options that change the plan."""

    file: str | None = None
    """A file, or the name of a plan of velum."""
    rules: Sequence[str] = ()
    labels: Sequence[str] = ()
    technique: str | None = None
    keep: Sequence[str] = ()
    keep_out: Sequence[str] = ()
    quality: int | None = None
    effort: str | None = None
    video: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `velum.plan.Video`, see `video_fields`."""

    def plan(self) -> "Plan":
        """Return the plan. Raises `BadPlan` for wrong or contradicting options."""
        from velum.spec import PartSpec

        plan = self._rules()
        return replace(
            plan,
            metadata=(*plan.metadata, *common.split_commas(self.keep)),
            quality=plan.quality if self.quality is None else self.quality,
            effort=self.effort or plan.effort,  # type: ignore[arg-type]  # the plan checks it
            keep_out=(*plan.keep_out, *map(PartSpec.parse, self.keep_out)),
            video=replace(plan.video, **self.video),
        )

    def _rules(self) -> "Plan":
        from velum.plan import Plan, Rule
        from velum.spec import PartSpec

        if self.technique and not self.labels:
            raise BadPlan(
                "--with is the technique of --hide, which is missing: add --hide face, or another label; "
                "in a --rule, write the technique after the arrow"
            )
        if self.file is not None:
            if self.rules or self.labels:
                raise BadPlan("--plan cannot be combined with --rule or --hide; write the rules into the plan")
            return read_plan(self.file)
        rules = tuple(map(Rule.parse, self.rules))
        if self.labels:
            from velum.locate.registry import rules_for
            from velum.settings import Settings

            hide = PartSpec.parse(self.technique or "blacken")
            rules += rules_for(common.split_commas(self.labels), hide, Settings.load().host())
        return Plan(rules) if rules else Plan()


def read_plan(name: str) -> "Plan":
    """Return the plan in the file `name`, or the plan of velum of that name. Raises `BadPlan`."""
    from velum.built_in_plans import BUILT_IN_PLANS
    from velum.plan import Plan

    path = Path(name)
    if not name.strip():
        raise BadPlan(f"--plan is empty; give a file, or a plan of velum: {', '.join(BUILT_IN_PLANS)}")
    if name in BUILT_IN_PLANS:
        if path.exists():
            raise BadPlan(f"--plan {name} is both a plan of velum and a file here; write ./{name} for the file")
        return BUILT_IN_PLANS[name].plan()
    if not path.exists() and not path.suffix and "/" not in name:
        raise BadPlan(f"there is no file {name}, and velum's own plans are {', '.join(BUILT_IN_PLANS)}")
    text = common.read_text(path, BadPlan)
    is_json = path.suffix.lower() == ".json"
    return Plan.from_json(common.parse_json(text, path, BadPlan)) if is_json else Plan.from_toml(text)


def with_people(plan: "Plan", keep: Sequence[str] = (), only: Sequence[str] = ()) -> "Plan":
    """Return the plan with the people of `--keep-person` and `--only-person`, and the hashes of all photos.

    Raises `BadPlan` for both options together or beside people of a plan file, `BadInput` for photos that cannot be
    read.
    """
    people = people_of(keep, only)
    if people is not None and plan.people is not None:
        raise BadPlan("--keep-person and --only-person cannot be combined with the people of a --plan; write all there")
    people = people or plan.people
    return plan if people is None else replace(plan, people=people.with_hashes())


def people_of(keep: Sequence[str], only: Sequence[str]) -> "People | None":
    """Return the people of `--keep-person` or `--only-person`. Raises `BadPlan` for both options together."""
    from velum.people import People

    if keep and only:
        raise BadPlan(
            "--keep-person cannot be combined with --only-person: one hides all others, one hides nobody else"
        )
    return People.parse("keep", keep) if keep else People.parse("only", only) if only else None


def check_people(regions: Path | None, keep_person: Sequence[str], only_person: Sequence[str]) -> None:
    """Raise `BadParameter` for people whom given regions have decided about already."""
    if regions and (keep_person or only_person):
        raise typer.BadParameter(
            "--regions says who is hidden; give --keep-person or --only-person to velum locate, which writes that file"
        )


def video_fields(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the video options that were given, as fields of `velum.plan.Video`.

    `arguments` are all arguments of a command by name, as `locals()` has them in its first line.
    """
    return {name: arguments[name] for name in _VIDEO_FIELDS if arguments.get(name) is not None}
