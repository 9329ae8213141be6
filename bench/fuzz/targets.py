"""Every parser of velum: good inputs to start from, and what is done with a bad one."""

import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request

from bench.fuzz import dicom, logs, pictures, seeds
from velum.annotations import Annotations
from velum.bmw import inference_wire, wire
from velum.bmw.folders import ConfigObject
from velum.bmw.label_map import read_label_map
from velum.bmw.schema import read_configuration
from velum.bmw.urls import Urls
from velum.engine.engine import Engine
from velum.engine.spoken_words import find_words, redact_transcript
from velum.errors import BadInput, LimitExceeded, VelumError
from velum.evaluation.ground_truth import read as truth
from velum.evaluation.requirements import load_profile
from velum.evidence.html_report import render_page
from velum.evidence.jcs import canonical, parse
from velum.evidence.verify import load, verify
from velum.limits import Limits
from velum.locate import detect_family
from velum.locate.catalog_toml import read_catalog
from velum.locate.darknet import Weights, read_cfg
from velum.locate.output_formats import Signature
from velum.locate.spoken import SpokenRule
from velum.media.segment import Segment
from velum.media.sound.transcript import parse_transcript
from velum.plan import Plan, Rule
from velum.plugin_folder import FolderTechniques
from velum.report import Report
from velum.service.auth.api_keys import ApiKeys
from velum.service.panoramax import pose, with_pose_of
from velum.service.v1 import http_bodies, uploads
from velum.service.v1.plans import Plans
from velum.settings import Settings
from velum.spec import PartSpec


@dataclass(frozen=True, slots=True)
class Target:
    """One parser. `weight` is its share of the inputs; `run` gets the input and an empty folder."""

    name: str
    seeds: Callable[[], Sequence[bytes]]
    run: Callable[[bytes, Path], object]
    weight: int = 4


def _transcript(data: bytes) -> str:
    """Redact a transcript, and read the result: nothing is found in it any more."""
    rule = SpokenRule.of("text(match='phone|card|email', names='Jane Roe')")
    text = redact_transcript(parse_transcript(_text(data)), rule).text
    assert not any(find_words(parse_transcript(text), rule))
    return text


def _text(data: bytes) -> str:
    """Return the text as files are read: what is not UTF-8 does not come to a parser."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput("not UTF-8") from error


def _value(data: bytes) -> Any:
    try:
        return json.loads(_text(data))
    except (ValueError, RecursionError) as error:
        raise BadInput("not JSON") from error


def _same_plan(plan: Plan) -> None:
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan, "the plan changes in JSON"
    assert again.digest == plan.digest
    assert Plan.from_toml(plan.to_toml()) == plan, "the plan changes in TOML"


def _same_rule(data: bytes) -> None:
    rule = Rule.parse(_text(data))
    assert Rule.parse(str(rule)) == rule, "the rule changes as text"


def _same_use(data: bytes) -> None:
    use = PartSpec.parse(_text(data))
    assert PartSpec.parse(str(use)) == use, "the use changes as text"


def _answers(data: bytes) -> None:
    told = inference_wire.parse_response(200, data)
    for read in (
        inference_wire.read_models,
        inference_wire.read_labels,
        inference_wire.read_type,
        inference_wire.read_palette,
        inference_wire.read_detections,
    ):
        try:
            read(told.data)
        except BadInput:
            continue


def _file(data: bytes, folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _weights(data: bytes, folder: Path) -> None:
    weights = Weights(_file(data, folder, "x.weights"))
    for section in read_cfg(_file(seeds.CFG, folder, "x.cfg")):
        if section.kind == "convolutional":
            weights.convolution(section, 3)
    weights.finish()


def _cfg(data: bytes, folder: Path) -> None:
    for section in read_cfg(_file(data, folder, "x.cfg")):
        if section.kind == "convolutional":
            Weights(_file(seeds.WEIGHTS, folder, "x.weights")).convolution(section, 3)
        if section.kind == "yolo":
            section.numbers("anchors")


def _settings(data: bytes, folder: Path) -> None:
    _file(data, folder, "velum.toml")
    Settings.load({}, folder)


def _environment(data: bytes, folder: Path) -> None:
    pairs = (line.partition("=") for line in data.decode("utf-8", "surrogateescape").split("\n"))
    # The system allows neither in the environment.
    environ = {key: value for key, _, value in pairs if key and "\0" not in key + value}
    Settings.load(environ, folder)


def _evidence(data: bytes, folder: Path) -> None:
    document = load(_file(data, folder, "evidence.json"))
    assert render_page(document, verify(document)).endswith("</html>\n")


def _truth(data: bytes, folder: Path, name: str) -> None:
    truth(_file(data, folder, name), None, Limits())


def _voc(data: bytes, folder: Path) -> None:
    _file(data, folder, "a.xml")
    truth(folder, None, Limits())


def _yolo(data: bytes, folder: Path) -> None:
    (folder / "images").mkdir()
    _file(pictures.stills()[1], folder, "images/a.png")
    _file(b"images/a.png\n", folder, "a.txt")
    _truth(data, folder, "data.yaml")


def _yolo_labels(data: bytes, folder: Path) -> None:
    _file(b"face\n", folder, "classes.txt")
    _file(pictures.stills()[1], folder, "a.png")
    _file(data, folder, "a.txt")
    truth(folder, None, Limits())


def _plugin_folder(data: bytes, folder: Path) -> None:
    _file(data, folder, "x.py")
    FolderTechniques(folder)


def _signature(data: bytes) -> None:
    value = _value(data)
    try:
        inputs, outputs = (
            {str(name): tuple(int(side) % (1 << 31) for side in shape) for name, shape in value[key].items()}
            for key in ("inputs", "outputs")
        )
        metadata = {str(name): str(one) for name, one in value["metadata"].items()}
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
        raise BadInput("no signature") from error  # runtimes give sides of 31 bits, and texts
    signature = Signature(inputs, outputs, metadata)
    for family in detect_family.candidates(signature):
        detect_family.check_labels(detect_family.labels_of(signature, family, "x"), signature, family, "x")
        detect_family.number_labels(("face",), signature, family)
    detect_family.input_of(signature)


def _canonical(data: bytes) -> None:
    text = canonical(parse(_text(data)))
    assert canonical(parse(text.decode())) == text


def _plan_in_request(data: bytes) -> None:
    """Take a plan as requests give it, and one of a hundred times as many rules, which is refused at once."""
    with Engine(limits=Limits(rules=100)) as engine:
        plans = Plans(None, engine)
        plan = plans.plan_of_request(_text(data))
        many = {"rules": [rule.to_json() for rule in plan.rules] * 101}
        with contextlib.suppress(LimitExceeded):
            plans.plan_of_request(many)
            raise AssertionError("a plan of many rules was read")


def _keys(data: bytes, folder: Path) -> None:
    keys = ApiKeys(_file(data, folder, "keys.json"))
    for key in keys.all():
        key.state(0)
        key.to_json()


def _config(data: bytes, folder: Path) -> None:
    config = ConfigObject.read(_file(data, folder, "config.json"))
    for read in (config.integer, config.boolean, config.texts, config.table):
        try:
            read("confidence")
        except BadInput:
            continue


def _urls(data: bytes, folder: Path) -> None:
    Urls(_file(data, folder, wire.FILE).parent).all()


def _ranges(data: bytes) -> None:
    header = data.decode("latin-1")  # as servers do
    request = Request({"type": "http", "headers": [(b"range", data), (b"if-range", b"tag")]})
    for read in (lambda: uploads._start_offset(None, header), lambda: http_bodies._range(request, "tag", 100)):
        try:
            read()
        except VelumError:
            continue


TARGETS: Mapping[str, Target] = {
    one.name: one
    for one in (
        Target("plan.json", lambda: seeds.PLANS, lambda data, _: _same_plan(Plan.from_json(_value(data))), 8),
        Target("plan.toml", lambda: seeds.PLANS_TOML, lambda data, _: _same_plan(Plan.from_toml(_text(data))), 8),
        Target("rule", lambda: seeds.RULES, lambda data, _: _same_rule(data), 8),
        Target("use", lambda: seeds.USES, lambda data, _: _same_use(data), 8),
        Target("regions", lambda: seeds.REGIONS, lambda data, _: Annotations.from_json(_value(data)).to_json(), 8),
        Target("report", lambda: seeds.REPORTS, lambda data, _: Report.from_json(_value(data)).to_json()),
        Target("span", lambda: seeds.SPANS, lambda data, _: Segment.from_json(_value(data)).to_json()),
        Target("evidence", seeds.evidence, _evidence),
        Target("canonical", seeds.evidence, lambda data, _: _canonical(data)),
        Target("truth", lambda: seeds.TRUTHS, lambda data, folder: _truth(data, folder, "truth.json")),
        Target("truth voc", lambda: seeds.VOC, _voc, 2),
        Target("truth yolo", lambda: seeds.YOLO, _yolo, 2),
        Target("truth yolo labels", lambda: seeds.YOLO_LABELS, _yolo_labels, 2),
        Target("profile", lambda: seeds.PROFILES, lambda data, at: load_profile(str(_file(data, at, "p.toml"))), 2),
        Target("techniques in a folder", lambda: seeds.MOUNTED, _plugin_folder, 2),
        Target("what a model says", lambda: seeds.SIGNATURES, lambda data, _: _signature(data), 2),
        Target("catalogue", lambda: seeds.CATALOGUES, lambda data, _: read_catalog(_text(data), "x")),
        Target("settings", lambda: seeds.SETTINGS, _settings),
        Target("environment", lambda: seeds.ENVIRONMENTS, _environment),
        Target("keys", lambda: seeds.KEYS, _keys),
        Target("bmw configuration", lambda: seeds.CONFIGURATIONS, lambda data, _: (
            read_configuration(data, strict=len(data) % 2 == 0)), 8),
        Target("bmw answers", lambda: seeds.ANSWERS, lambda data, _: _answers(data)),
        Target("range headers", lambda: seeds.RANGES, lambda data, _: _ranges(data), 2),
        Target("bmw urls", lambda: seeds.URLS, _urls, 2),
        Target("bmw config", lambda: seeds.CONFIGS, _config, 2),
        Target("label map", lambda: seeds.LABEL_MAPS, lambda data, folder: (
            read_label_map(_file(data, folder, "x.pbtxt")))),
        Target("darknet cfg", lambda: [seeds.CFG], _cfg),
        Target("darknet weights", lambda: [seeds.WEIGHTS], _weights, 2),
        Target("pose", seeds.poses, lambda data, _: (pose(data), with_pose_of(data, seeds.poses()[1]))),
        Target("pictures", pictures.stills, pictures.hide, 12),
        Target("much work", pictures.heavy, pictures.weigh, 4),
        Target("many rules", lambda: seeds.MANY_RULES, lambda data, _: _plan_in_request(data), 2),
        Target("transcripts", lambda: seeds.TRANSCRIPTS, lambda data, _: _transcript(data)),
        Target("containers", pictures.containers, pictures.hide_members, 6),
        Target("sensor logs", logs.logs, pictures.hide_members, 6),
        Target("messages", logs.messages, logs.splice_image, 4),
        Target("sequences", logs.sequences, logs.read_sequence, 4),
        Target("dicom", dicom.files, dicom.hide, 6),
        Target("videos", pictures.clips, pictures.hide, 2),
        Target("alpha", pictures.transparent, pictures.hide_to_black, 3),
        Target("layouts", pictures.layouts, pictures.hide_to_black, 2),
    )
}  # fmt: skip


def _ends(data: bytes, how: str) -> None:
    if data != b"1":
        return
    if how == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "hang":
        time.sleep(60)
    raise ZeroDivisionError


CHECKS: Mapping[str, Target] = {
    f"(check) {how}": Target(f"(check) {how}", list, lambda data, _, how=how: _ends(data, how))  # type: ignore[misc]
    for how in ("crash", "hang", "raise")
}
"""Parsers that do what none may with their second input, to see that it is noticed."""


def run(target: Target, data: bytes) -> None:
    """Give one input to a parser, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="velum-fuzz-") as folder:
        target.run(data, Path(folder))
