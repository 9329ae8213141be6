"""The HTML report of an evaluation: no script, nothing loaded. It shows people: the worst misses."""

import base64
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np

from velum import html_page, media
from velum.errors import OutputFailed
from velum.evaluation import metrics
from velum.evaluation.metrics import Rate, TruthOutcome
from velum.evaluation.result import Evaluation
from velum.evaluation.svg_plots import plot_hidden_shares, plot_sizes, plot_thresholds
from velum.frame import Rgb
from velum.limits import Limits
from velum.region import Box

_STYLE = """
th.name { width: 11rem; }
svg { width: 100%; max-width: 640px; font: 11px system-ui, sans-serif; fill: #1b1f24; }
svg .grid { stroke: #d5dae0; } svg .faint { fill: #57606a; } svg .reach { stroke: #1b1f24; fill: none; }
svg .found { fill: #2f6fb5; } svg .hidden { fill: #2c8a57; } svg .missed { fill: #c2404e; }
svg .line { fill: none; stroke-width: 2; } svg .line.found { stroke: #2f6fb5; } svg .line.right { stroke: #b0701c; }
svg .mark { stroke: #a31621; stroke-dasharray: 4 3; }
.key span::before { content: ""; display: inline-block; width: .8em; height: .8em; margin: 0 .35em 0 .9em; }
.key .found::before { background: #2f6fb5; } .key .hidden::before { background: #2c8a57; }
.key .missed::before { background: #c2404e; } .key .right::before { background: #b0701c; }
.misses { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1rem; padding: 0; }
figure { margin: 0; break-inside: avoid; } figure img { max-width: 100%; border: 1px solid #d5dae0; }
figcaption { font-size: .8rem; overflow-wrap: anywhere; }
"""

_LEGEND = {
    "found": "found (a detection overlaps it)",
    "hidden": "hidden to a half or more", "missed": "hidden less than a half",
    "right": "true, of all detections",
}  # fmt: skip


MOST_DRAWN = 24
"""Most misses that are drawn."""

DrawnMiss = tuple[TruthOutcome, bytes]
"""A miss, and a JPEG of the object with its surroundings."""

_SIDE = 192
"""Longer side of a drawing, in pixels."""

_COLOUR = (230, 40, 60)


def render_page(evaluation: Evaluation, pictures: Sequence[DrawnMiss], more: Sequence[str] = ()) -> str:
    """Return the HTML page with drawings of the worst misses; `more` is HTML that comes before what was evaluated."""
    observed = evaluation.observed
    parts = [
        "<h1>Evaluation</h1>",
        f"<p>{len(observed.outcomes)} labelled objects in {observed.frames} frames of {observed.files} files.</p>",
        _profile_section(evaluation),
        html_page.bullet_list(evaluation.notes) if evaluation.notes else "",
        "<h2>Found and hidden, by size</h2>", *_size_section(evaluation),
        "<h2>How much is hidden</h2>", _legend("hidden", "missed"), plot_hidden_shares(observed.outcomes),
        "<h2>False detections</h2>", _precision_section(evaluation),
        *_tag_section(evaluation), *_video_section(evaluation), *_threshold_section(evaluation),
        *_miss_section(evaluation, pictures), *more,
        "<h2>What was evaluated</h2>", html_page.table(_provenance(evaluation)),
    ]  # fmt: skip
    return html_page.document("Evaluation", _STYLE, parts)


def draw_misses(misses: Sequence[TruthOutcome], paths: Mapping[str, Path], limits: Limits) -> list[DrawnMiss]:
    """Return drawings of the misses in order; `paths` maps file names to files. Raises any `VelumError`."""
    by_file: dict[str, dict[int, list[TruthOutcome]]] = defaultdict(lambda: defaultdict(list))
    for miss in misses:
        by_file[miss.file][miss.frame].append(miss)
    images: dict[int, DrawnMiss] = {}
    for name, frames in by_file.items():
        with media.open_source(paths[name], limits) as reader:
            for frame in reader.frames():
                if frame.index in frames:
                    picture = frame.rgb(frame.width, frame.height)
                    images |= {id(miss): (miss, _jpeg(picture, miss)) for miss in frames[frame.index]}
                if frame.index >= max(frames):
                    break
    return [images[id(miss)] for miss in misses if id(miss) in images]


def _profile_section(evaluation: Evaluation) -> str:
    standing = evaluation.standing
    if standing is None:
        return ""
    rows = [
        [
            item.demand.label, f"{item.demand.min_height} px",
            f"{_rate(item.detected)}, wanted {item.demand.detection_rate:.0%}",
            "not asked" if item.demand.false_rate is None
            else f"{_rate(item.false)}, allowed {item.demand.false_rate:.0%}",
            ("met" if item.is_sure else "met, but the sample is too small to be certain") if item.is_met else "not met",
        ]
        for item in standing.results
    ]  # fmt: skip
    rows += [[label, "", "the plan has no rule for this label", "", "not met"] for label in standing.not_asked]
    verdict, colour = ("passed", "good") if standing.is_met else ("not passed", "bad")
    official = "" if standing.profile.official else " Unofficial."
    return (
        f'<p class="standing {colour}">{escape(standing.profile.title)}: {verdict}</p>'
        f"<p>{escape(standing.profile.note)}{official}</p>"
        + html_page.grid(["Label", "From", "Detected", "False detections", ""], rows)
    )


def _size_section(evaluation: Evaluation) -> Iterable[str]:
    rows = metrics.by_size(evaluation.observed.outcomes)
    yield _grid(rows, "Height")
    for label in dict.fromkeys(row.label for row in rows):
        yield f"<h3>{escape(label)}</h3>{_legend('found', 'hidden')}"
        yield plot_sizes([row for row in rows if row.label == label and row.kind != "all"])
    yield "<p>Bars show the 95 % confidence interval (Wilson).</p>"


def _tag_section(evaluation: Evaluation) -> Iterable[str]:
    if rows := metrics.by_tag(evaluation.observed.outcomes):
        yield "<h2>By the truth's tags</h2>"
        yield _grid(rows, "Tag")


def _grid(rows: Sequence[metrics.MetricsRow], kind: str) -> str:
    head = ["Label", kind, "Labelled", "Found", *(f"Hidden to {level:.0%}" for level in metrics.COVERED), "Mean share"]
    return html_page.grid(head, [
        [row.label, row.kind, str(row.found.total), _rate(row.found), *map(_rate, row.hidden), f"{row.covered:.1%}"]
        for row in rows
    ])  # fmt: skip


def _precision_section(evaluation: Evaluation) -> str:
    rates = metrics.precision(evaluation.observed)
    if not rates:
        return "<p>Precision is unknown: no file has a label that is labelled completely.</p>"
    rows = [
        [label, f"{rate.total - rate.hits} of {rate.total} detections", _rate(rate)] for label, rate in rates.items()
    ]
    return html_page.grid(["Label", "False", "True (precision)"], rows)


def _video_section(evaluation: Evaluation) -> Iterable[str]:
    if not evaluation.observed.videos:
        return
    frames, tracks = metrics.frames(evaluation.observed), metrics.tracks(evaluation.observed)
    yield "<h2>Videos</h2>"
    yield f"<p>In {_rate(frames)} of the labelled frames an object is hidden less than a half.</p>"
    if exposed := [track for track in tracks if track.exposed]:
        yield html_page.grid(["File", "Track", "Label", "Exposed frames", "Longest, s"], [
            [item.file, item.track, item.label, f"{item.exposed} of {item.frames}", f"{item.longest_seconds:g}"]
            for item in exposed[:20]
        ])  # fmt: skip
    elif tracks:
        yield f"<p>None of {len(tracks)} tracks is exposed in any of its labelled frames.</p>"


def _threshold_section(evaluation: Evaluation) -> Iterable[str]:
    wanted = evaluation.wanted
    if wanted is None:
        return
    yield f"<h2>Thresholds for {wanted.recall:.1%} from {wanted.min_height} px</h2>"
    for choice in evaluation.choices:
        yield f"<h3>{escape(choice.label)}: {choice.chosen.threshold:g}</h3>{_legend('found', 'right')}"
        yield plot_thresholds(choice)


def _miss_section(evaluation: Evaluation, pictures: Sequence[DrawnMiss]) -> Iterable[str]:
    yield f"<h2>The worst of {len(evaluation.misses)} misses</h2>"
    if not pictures:
        yield "<p>Nothing was missed.</p>" if not evaluation.misses else ""
        return
    yield '<p class="bad">These images show people that should be hidden: protect this page like the sources.</p>'
    yield '<div class="misses">'
    for outcome, jpeg in pictures:
        outcome_text = "not found" if outcome.score is None else f"found at {outcome.score:.2f}"
        description = f"{outcome.label}, {outcome.height:.0f} px high, {outcome_text}, hidden {outcome.covered:.0%}"
        says = f"<figcaption>{escape(f'{outcome.file}, frame {outcome.frame}: {description}')}</figcaption>"
        image = base64.b64encode(jpeg).decode()
        yield f'<figure><img src="data:image/jpeg;base64,{image}" alt="">{says}</figure>'
    yield "</div>"


def _provenance(evaluation: Evaluation) -> dict[str, str]:
    truth, observed = evaluation.truth, evaluation.observed
    models = [" ".join(f"{name} {value}" for name, value in item.items()) for item in observed.models]
    rows = {
        "Plan": html_page.bullet_list(map(str, evaluation.plan.rules)),
        "Digest of the plan": html_page.code(evaluation.plan.digest),
        "Models": html_page.bullet_list(models or ["none"]),
        "Truth": html_page.text(truth.kind),
        "SHA-256 of the truth": html_page.code(truth.sha256 or "many files"),
        "Found means": html_page.text(
            f"a detection overlaps it by an intersection over union of {evaluation.least_iou:g}"
        ),
    }
    if observed.left_out:
        rows["Left out"] = html_page.bullet_list(observed.left_out)
    return rows


def _legend(*kinds: str) -> str:
    return '<p class="key">' + "".join(f'<span class="{item}">{_LEGEND[item]}</span>' for item in kinds) + "</p>"


def _rate(rate: Rate) -> str:
    if rate.share is None:
        return "none"
    low, high = rate.interval
    return f"{rate.share:.1%} ({low * 100:.1f} to {high * 100:.1f})"


def _jpeg(picture: Rgb, miss: TruthOutcome) -> bytes:
    height, width = picture.shape[:2]
    box = Box.around(*miss.xyxy)
    around = box.pad(max(box.width, 16), max(box.height, 16)).clip(width, height)
    if around is None:
        around = Box(0, 0, width, height)
    part = np.ascontiguousarray(picture[around.slices])
    scale = _SIDE / max(part.shape[:2])
    size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    tile = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    corners = [round(edge * scale) for edge in box.move(-around.x0, -around.y0).xyxy]
    cv2.rectangle(tile, (corners[0], corners[1]), (corners[2], corners[3]), _COLOUR, 1)
    done, encoded = cv2.imencode(".jpg", tile[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not done:
        raise OutputFailed("a miss cannot be drawn: OpenCV cannot encode a JPEG; leave --html out")
    return bytes(encoded.tobytes())
