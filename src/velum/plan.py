"""Plans: what to hide, how to locate it and how to hide it, as frozen values with a text, TOML and JSON form."""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args

from velum.errors import BadPlan
from velum.people import DEFAULT_EMBEDDING, People
from velum.spec import PartSpec, finite, keywords, literal, refuse_unknown, text_rule, whole

Effort = Literal["fast", "balanced", "thorough"]
"""How closely is looked: at how many frames of a video, and with which models where the plan leaves them to velum."""

Verify = bool | Literal["identity"]

Audio = Literal["copy", "drop", "silence", "speech-mute", "voice"]
"""What is done with the audio of a video."""

_EARLIER_AUDIO = {"mute": "silence"}
"""Values in plans of earlier versions, and those that they are now."""

PdfPages = Literal["keep", "render"]
"""What becomes of the pages of a PDF: they are kept, with other pictures in them, or rendered as pictures."""

Shape = Literal["box", "ellipse"]
"""Outline of a region that has no mask; the ellipse goes around the box, through its corners."""

METADATA = ("camera", "copyright", "datetime", "description", "exposure", "gps", "orientation")
"""Kinds of metadata that a plan can keep. Orientation, projection, colour profile and resolution are kept in any
case: without them the untouched pixels would look different."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: hide the regions of `label` that the localizer `locate` finds by the technique `hide`.

    `grow` is the share of a region's width added left and right, and of its height above and below. `min_score`
    replaces the model's own threshold when it is higher. `shape` is the outline of regions that have no mask.
    """

    label: str
    locate: PartSpec
    hide: PartSpec
    grow: float = 0.2
    min_score: float = 0.0
    shape: Shape = "box"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[^\s:>][^:>]*", self.label):
            raise BadPlan(f"label {self.label!r} is not allowed; write a label such as face, without ':' and '>'")
        if not finite(self.grow) or not 0 <= self.grow <= 5:
            raise BadPlan(f"grow is {self.grow!r}; it must be a number from 0 to 5 (a share of the region's size)")
        if not finite(self.min_score) or not 0 <= self.min_score <= 1:
            raise BadPlan(f"min_score is {self.min_score!r}; it must be a number from 0 to 1")
        if self.shape not in get_args(Shape):
            raise BadPlan(f"shape is {self.shape!r}; allowed are {', '.join(get_args(Shape))}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text of a rule. Raises `BadPlan`.

        The form is `label: localizer -> technique`, optionally followed by `with grow=0.2, shape=ellipse`.
        """
        match = re.fullmatch(r"\s*([^:>]*?)\s*:\s*(.+?)\s*->\s*(.+?)\s*(?:\bwith\b\s*(.+?)\s*)?", text, flags=re.DOTALL)
        if not match:
            raise BadPlan(f"cannot read rule {text!r}; write 'face: centerface -> pixelate(degree=0.1)'")
        more = keywords(match[4] or "", text)
        refuse_unknown(more, {"grow", "min_score", "shape"}, "a rule")
        return cls(match[1], PartSpec.parse(match[2]), PartSpec.parse(match[3]), **more)  # type: ignore[arg-type]  # the fields check their types

    def __str__(self) -> str:
        defaults = {"grow": 0.2, "min_score": 0.0, "shape": "box"}
        more = ", ".join(
            f"{name}={literal(getattr(self, name))}" for name, value in defaults.items() if getattr(self, name) != value
        )
        return f"{self.label}: {self.locate} -> {self.hide}" + (f" with {more}" if more else "")

    def to_json(self) -> dict[str, Any]:
        """Return the rule as JSON values."""
        return {
            "label": self.label, "locate": self.locate.to_json(), "hide": self.hide.to_json(),
            "grow": self.grow, "min_score": self.min_score, "shape": self.shape,
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the rule of a string or a JSON object. Raises `BadPlan`."""
        if isinstance(value, str):
            return cls.parse(value)
        if not isinstance(value, Mapping):
            raise BadPlan(f"rule {value!r} is neither a string nor an object; write 'face: centerface -> blacken'")
        refuse_unknown(value, {"label", "locate", "hide", "grow", "min_score", "shape"}, "a rule")
        missing = [name for name in ("label", "locate", "hide") if name not in value]
        if missing or not isinstance(value["label"], str):
            raise BadPlan(f"rule {dict(value)!r} lacks {', '.join(missing) or 'a label that is a string'}")
        more = {name: value[name] for name in ("grow", "min_score", "shape") if name in value}
        return cls(value["label"], PartSpec.from_json(value["locate"]), PartSpec.from_json(value["hide"]), **more)


@dataclass(frozen=True, slots=True)
class Video:
    """Settings of videos: the stream that is written, what goes with it, and how objects are tracked.

    `codec` and `preset` None: like the source, and velum's own choice. `crf` None: velum's choice for the codec.
    """

    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    size: Literal["like-source"] | None = None
    """`like-source`: the encoded video takes no more bytes than the source's, and quality gives way for it."""
    audio: Audio = "copy"
    """`silence`: the same tracks without a sound; `speech-mute`: speech is found and muted, `voice`: it gets other
    voices, all else stays. Plans of earlier versions have `mute` for `silence`."""
    mute: str | None = None
    """What is muted where a transcript says it: `phone|card`, or `text(match='phone|card', names='Jane Roe|Roe')`."""
    bleep: bool = False
    """A tone sounds where sound is muted."""
    subtitles: Literal["copy", "drop"] = "copy"
    every: int | None = None
    """Localizers run on every n-th frame; in between, objects are tracked. None: as the plan's effort says."""
    track: bool = True
    window_seconds: float = 2.0
    """Seconds that tracking looks ahead in one pass, to close gaps and to track objects back to where they appeared."""
    two_pass: bool = False
    """Regions of the whole file are located and tracked before any is hidden: no gap is too long."""
    smart: bool = False
    """Groups of pictures in which nothing is hidden are copied, not encoded again; takes two passes."""
    on_damage: Literal["fail", "cover"] = "fail"
    """Frames that cannot be decoded: `fail` publishes nothing, `cover` puts black frames in their place."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "audio", _EARLIER_AUDIO.get(self.audio, self.audio))
        object.__setattr__(self, "mute", None if self.mute is None else text_rule(self.mute))
        choices = {"audio": get_args(Audio), "subtitles": ("copy", "drop"), "on_damage": ("fail", "cover")}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise BadPlan(f"video.{name} is {getattr(self, name)!r}; allowed are {', '.join(allowed)}")
        if self.audio == "voice" and self.mute is not None:
            raise BadPlan("video.audio is voice, with which words of video.mute would be heard; choose one of the two")
        if self.bleep is True and (self.audio == "voice" or not self.mutes_spans):
            raise BadPlan("video.bleep is true, but nothing is muted; add video.mute, or video.audio = speech-mute")
        for name in ("track", "two_pass", "smart", "bleep"):
            if not isinstance(getattr(self, name), bool):
                raise BadPlan(f"video.{name} is {getattr(self, name)!r}; it must be true or false")
        if self.size not in (None, "like-source"):
            raise BadPlan(f"video.size is {self.size!r}; it must be like-source, or left out")
        for name in ("codec", "preset"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not re.fullmatch(r"[\w.-]+", value)):
                raise BadPlan(f"video.{name} is {value!r}; it must be a name, or left out")
        if self.every is not None and (not whole(self.every) or not 1 <= self.every <= 1000):
            raise BadPlan(f"video.every is {self.every!r}; it must be a whole number from 1 to 1000, or left out")
        if self.crf is not None and (not whole(self.crf) or not 0 <= self.crf <= 63):
            raise BadPlan(f"video.crf is {self.crf!r}; it must be a whole number from 0 to 63, or left out")
        if not finite(self.window_seconds) or not 0 <= self.window_seconds <= 60:
            raise BadPlan(f"video.window_seconds is {self.window_seconds!r}; it must be a number from 0 to 60")

    @property
    def mutes_spans(self) -> bool:
        """True where some of the sound is muted or changed, and the rest is kept."""
        return self.audio in {"speech-mute", "voice"} or (self.audio == "copy" and self.mute is not None)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value or name not in {"mute", "bleep"}}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the settings of a JSON object; what it leaves out has its default. Raises `BadPlan`."""
        if not isinstance(value, Mapping):
            raise BadPlan(f"video is {value!r}; it must be an object")
        refuse_unknown(value, {field.name for field in fields(cls)}, "video")
        return cls(**value)


_MEMBER_FIELDS = ("drop_members", "copy_members", "topics")
_PLAN_FIELDS = {
    "rules", "metadata", "quality", "keep_out", "video", "effort", "verify", "people", "pdf_pages", "pdf_dpi",
    *_MEMBER_FIELDS,
}  # fmt: skip
DEFAULT_RULE = Rule("face", PartSpec("centerface"), PartSpec("blacken"))


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is done to a source. The same plan does the same anywhere.

    `metadata` names the kinds kept (default none). `quality` is that of lossy output, from 1 to 100 (default: like the
    source). What the localizers in `keep_out` find, such as `fixed(box=[0, 0, 90, 40])`, is never hidden.
    """

    rules: tuple[Rule, ...] = (DEFAULT_RULE,)
    metadata: tuple[str, ...] = ()
    quality: int | None = None
    keep_out: tuple[PartSpec, ...] = ()
    video: Video = Video()
    effort: Effort = "balanced"
    verify: Verify = False
    """The finished file is checked as `velum check` does, and published only when nothing is found. `identity`: as with
    its option `--identity`, hidden faces are compared with their originals as well."""
    people: People | None = None
    """Whose faces are kept, or whose alone are hidden. None: nobody is recognised, and all faces are hidden."""
    drop_members: tuple[str, ...] = ()
    """Members of archives and documents that are left out, as patterns such as `*.emf` for names or paths."""
    copy_members: tuple[str, ...] = ()
    """Members of an unknown kind that are taken over as they are; velum finds no picture in them."""
    topics: tuple[str, ...] = ()
    """Topics of sensor logs, as patterns such as `/camera/*`: a result has no others. Empty: it has all."""
    pdf_pages: PdfPages = "keep"
    """`render`: each page of a PDF becomes a picture, in which everything is hidden that the page shows, also text."""
    pdf_dpi: int = 200
    """Pixels for each inch of a page that is rendered, in both directions."""

    def __post_init__(self) -> None:
        if self.people is not None and not self.video.track:
            raise BadPlan("people are decided for each track of a video; leave video.track out, or leave out people")
        for name in _MEMBER_FIELDS:
            if not all(isinstance(pattern, str) and pattern for pattern in getattr(self, name)):
                raise BadPlan(f"{name} is {getattr(self, name)!r}; it must be a list of patterns such as '*.emf'")
        if self.pdf_pages not in get_args(PdfPages):
            raise BadPlan(f"pdf_pages is {self.pdf_pages!r}; allowed are {', '.join(get_args(PdfPages))}")
        if not whole(self.pdf_dpi) or not 50 <= self.pdf_dpi <= 600:
            raise BadPlan(f"pdf_dpi is {self.pdf_dpi!r}; it must be a whole number from 50 to 600, or left out")
        if self.pdf_dpi != 200 and self.pdf_pages == "keep":
            raise BadPlan(f"pdf_dpi is {self.pdf_dpi}, but no pages are rendered; add pdf_pages = render")
        if self.effort not in get_args(Effort):
            raise BadPlan(f"effort is {self.effort!r}; allowed are {', '.join(get_args(Effort))}")
        if not isinstance(self.verify, bool) and self.verify != "identity":
            raise BadPlan(f"verify is {self.verify!r}; it must be true, false or 'identity'")
        if not self.rules or not all(isinstance(rule, Rule) for rule in self.rules):
            raise BadPlan("a plan needs at least one rule, such as 'face: centerface -> blacken'")
        unknown = sorted(set(self.metadata) - set(METADATA))
        if unknown:
            raise BadPlan(f"metadata {', '.join(map(repr, unknown))} is unknown; allowed are {', '.join(METADATA)}")
        if self.quality is not None and (not whole(self.quality) or not 1 <= self.quality <= 100):
            raise BadPlan(f"quality is {self.quality!r}; it must be a whole number from 1 to 100, or left out")

    @classmethod
    def of(cls, *rules: str | Rule, **more: Any) -> Self:
        """Return a plan of rules given as text or values: `Plan.of("face: centerface -> blur")`."""
        return cls(tuple(Rule.parse(rule) if isinstance(rule, str) else rule for rule in rules), **more)

    @property
    def embedding(self) -> PartSpec:
        """The part that compares faces, where the plan needs one."""
        return DEFAULT_EMBEDDING if self.people is None else self.people.embedding

    @property
    def render_dpi(self) -> int | None:
        """Pixels for each inch of the pages of PDFs; None where pages are kept."""
        return self.pdf_dpi if self.pdf_pages == "render" else None

    @property
    def digest(self) -> str:
        """SHA-256 of the plan's JSON form, in hexadecimal: equal for plans that do the same."""
        values = self.to_json() | ({} if self.people is None else {"people": self.people.identity()})
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        more: dict[str, Any] = {} if self.people is None else {"people": self.people.to_json()}
        more |= {name: list(getattr(self, name)) for name in _MEMBER_FIELDS if getattr(self, name)}
        more |= {} if self.pdf_pages == "keep" else {"pdf_pages": self.pdf_pages}
        more |= {} if self.pdf_dpi == 200 else {"pdf_dpi": self.pdf_dpi}
        return more | {
            "rules": [rule.to_json() for rule in self.rules],
            "metadata": sorted(set(self.metadata)),
            "quality": self.quality,
            "keep_out": [spec.to_json() for spec in self.keep_out],
            "video": self.video.to_json(),
            "effort": self.effort,
            "verify": self.verify,
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the plan of JSON or TOML values; rules may be strings. Raises `BadPlan`."""
        if not isinstance(value, Mapping):
            raise BadPlan(f"a plan is an object with rules, not {value!r}")
        refuse_unknown(value, _PLAN_FIELDS, "a plan")
        rules, metadata = value.get("rules", [str(DEFAULT_RULE)]), value.get("metadata", [])
        if not isinstance(rules, list | tuple):
            raise BadPlan(f"rules are {rules!r}; they must be a list")
        if not isinstance(metadata, list | tuple) or not all(isinstance(kind, str) for kind in metadata):
            raise BadPlan(f"metadata is {metadata!r}; it must be a list of names")
        members = {name: value.get(name, ()) for name in _MEMBER_FIELDS}
        for name, patterns in members.items():
            if not isinstance(patterns, list | tuple):
                raise BadPlan(f"{name} is {patterns!r}; it must be a list of patterns such as '*.emf'")
        if not isinstance(keep_out := value.get("keep_out", []), list | tuple):
            raise BadPlan(
                f"keep_out is {keep_out!r}; it must be a list of localizers such as 'fixed(box=[0, 0, 90, 40])'"
            )
        video = Video.from_json(value.get("video", {}))
        excluded = tuple(map(PartSpec.from_json, keep_out))
        return cls(
            tuple(map(Rule.from_json, rules)),
            tuple(metadata),
            value.get("quality"),
            excluded,
            video,
            value.get("effort", "balanced"),
            value.get("verify", False),
            None if value.get("people") is None else People.from_json(value["people"]),
            pdf_pages=value.get("pdf_pages", "keep"),
            pdf_dpi=value.get("pdf_dpi", 200),
            **{name: tuple(patterns) for name, patterns in members.items()},
        )

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Parse a plan in TOML. Raises `BadPlan`."""
        try:
            values = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadPlan(f"the plan is not valid TOML: {error}") from error
        return cls.from_json(values)

    def to_toml(self) -> str:
        """Return the plan in TOML, one rule a line."""
        lines = ["rules = [", *(f"    {json.dumps(str(rule), ensure_ascii=False)}," for rule in self.rules), "]"]
        lines.append(f"metadata = {json.dumps(list(self.metadata))}")
        lines += [] if self.quality is None else [f"quality = {self.quality}"]
        lines += [] if self.effort == "balanced" else [f"effort = {json.dumps(self.effort)}"]
        lines += [f"verify = {json.dumps(self.verify)}"] if self.verify else []
        lines += [f"{name} = {_inline(list(getattr(self, name)))}" for name in _MEMBER_FIELDS if getattr(self, name)]
        lines += [] if self.pdf_pages == "keep" else [f"pdf_pages = {json.dumps(self.pdf_pages)}"]
        lines += [] if self.pdf_dpi == 200 else [f"pdf_dpi = {self.pdf_dpi}"]
        if self.keep_out:
            lines.append(f"keep_out = {json.dumps([str(spec) for spec in self.keep_out], ensure_ascii=False)}")
        if self.people is not None:
            lines.append(f"people = {_inline(self.people.to_json())}")
        usual = Video().to_json()
        chosen = {name: value for name, value in self.video.to_json().items() if value != usual.get(name)}
        lines += ["", "[video]"] if chosen else []
        # JSON writes strings, numbers, true and false as TOML does.
        lines += [f"{name} = {json.dumps(value)}" for name, value in chosen.items()]
        return "\n".join(lines) + "\n"


def _inline(value: Any) -> str:
    """Return JSON values without null as TOML writes them in one line."""
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(key, ensure_ascii=False)} = {_inline(item)}" for key, item in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
