"""Evidence: its content, the detection of every change, and the signature."""

import copy
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from velum import Plan, Report
from velum.errors import BadInput, BadPlan, OutputFailed
from velum.evidence.html_report import render_page
from velum.evidence.jcs import canonical, parse
from velum.evidence.signing import PrivateKey, PublicKey, keygen
from velum.evidence.statement import Declared, compose, file_entry, read_result, same_plan, sign
from velum.evidence.verify import load, verify
from velum.file_hash import sha256_of
from velum.region import Box, size_class
from velum.report import HiddenRegion, TrackSummary

PLAN = Plan.of("face: centerface -> blacken")
MODEL = {"model": "centerface", "weights": "ab" * 32, "threshold": "0.5"}


def report(*boxes: tuple[int, int, int, int], **more: Any) -> Report:
    hidden = tuple(HiddenRegion(0, "face", Box(*box), 0.9, "detected", 0, "blacken") for box in boxes)
    values = {
        "source": "/secret/anna.jpg", "target": "out.jpg", "format": "JPEG", "width": 640, "height": 480, "frames": 1,
        "hidden": hidden, "plan": PLAN.digest, "rules": tuple(map(str, PLAN.rules)), "models": (MODEL,),
        "input_sha256": "1" * 64, "output_sha256": "2" * 64, "version": "0.1.0",
    }  # fmt: skip
    return Report(**{**values, **more})


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> PrivateKey:
    path = tmp_path_factory.mktemp("keys") / "key"
    keygen(path)
    return PrivateKey.read(path)


def evidence(key: PrivateKey, *entries: dict[str, Any], declared: Declared | None = None) -> dict[str, Any]:
    made = compose(entries or (file_entry(report((0, 0, 20, 40)), "out.jpg"),), PLAN, [MODEL], declared or Declared())
    return sign(made, key)


def holds(document: dict[str, Any], *files: Path, key: PublicKey | None = None) -> bool:
    return all(holds for holds, _ in verify(document, files, key))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None]}, '{"a":[true,null],"b":1}'),
        ({"\ufb33": 1, "\U0001f600": 2}, '{"\U0001f600":2,"\ufb33":1}'),  # order of UTF-16, not of code points
        ("\u20ac$\x0f\nA'B\"\\/", '"\u20ac$\\u000f\\nA\'B\\"\\\\/"'),
        # the numbers of RFC 8785, appendix B
        ([0.0, -0.0, 5e-324, 9.999999999999997e-7], "[0,0,5e-324,9.999999999999997e-7]"),
        ([9007199254740992, -9007199254740992.0], "[9007199254740992,-9007199254740992]"),
        ([0.000001, 333333333.3333333, -3.3333333e-6], "[0.000001,333333333.3333333,-0.0000033333333]"),
        ([4.5, 2e-3, 1.0, 1e15], "[4.5,0.002,1,1000000000000000]"),
    ],
)
def test_writes_the_canonical_form_of_rfc_8785(value: Any, text: str) -> None:
    assert canonical(value).decode() == text


@pytest.mark.parametrize(
    "value", [2**53 + 1, float("nan"), float("inf"), 1e300, 10**400, "\ud800", b"", {1: 2}, object()]
)
def test_refuses_values_without_a_canonical_form(value: Any) -> None:
    with pytest.raises(BadInput):
        canonical({"x": value})


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', "NaN", "", "[" * 100_000, '{"a":', "[1e400"])
def test_refuses_ambiguous_and_invalid_json(text: str) -> None:
    with pytest.raises(BadInput):
        parse(text)


@given(st.recursive(st.none() | st.booleans() | st.floats(-(2**53), 2**53) | st.text(
    st.characters(exclude_categories=["Cs"])), lambda deeper: st.lists(deeper) | st.dictionaries(st.text(
        st.characters(exclude_categories=["Cs"])), deeper), max_leaves=20))  # fmt: skip
def test_the_canonical_form_parses_to_the_same_value(value: Any) -> None:
    text = canonical(value)
    assert parse(text.decode()) == value
    assert canonical(parse(text.decode())) == text


def test_reads_back_reports_of_images_and_videos() -> None:
    track = TrackSummary(1, "face", 0, "blacken", 0, 9, 10, {"detected": 10}, 0.9)
    for one in (report((0, 0, 20, 40)), report(tracks=(track,))):
        assert Report.from_json(json.loads(json.dumps(one.to_json()))) == one


@pytest.mark.parametrize(
    "change",
    [{"width": "x"}, {"hidden": 3}, {"tracks": [3]}, {"hidden": [{"xyxy": [0, 0]}]}, {"output_sha256": "zz"},
     {"more": 1}, {"rules": [3]}, {"models": [1]}, {"seconds": {"a": "b"}}, {"format": None}, {"plan": 10**400}],
)  # fmt: skip
def test_refuses_malformed_reports(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="report"):
        Report.from_json({**report((0, 0, 2, 4)).to_json(), **change})


def test_refuses_a_track_with_a_malformed_origin() -> None:
    track = TrackSummary(1, "face", 0, "blacken", 0, 9, 10, {"detected": 10}, 0.9).to_json()
    for found in (3, 0.5, None, [1], {"detected": "x"}):
        with pytest.raises(BadInput, match="report"):
            Report.from_json({**report().to_json(), "tracks": [{**track, "found": found}]})


@pytest.mark.parametrize(("side", "size"), [(None, "in video"), (15, "under 16 px"), (40, "32 to 63 px")])
def test_counts_tracks_by_their_largest_box(side: int | None, size: str) -> None:
    track = TrackSummary(1, "face", 0, "blacken", 0, 9, 10, {"detected": 10}, 0.9, side)
    assert file_entry(report(tracks=(track,)), "a.mp4")["hidden"] == [{"label": "face", "size": size, "count": 1}]


def test_evidence_has_sizes_plan_models_and_software(key: PrivateKey) -> None:
    small, large = (0, 0, 15, 40), (0, 0, 300, 200)
    document = evidence(key, file_entry(report(small, small, large), "out.jpg"))
    (one,) = document["files"]
    assert one["hidden"] == [
        {"label": "face", "size": "under 16 px", "count": 2},
        {"label": "face", "size": "128 px and more", "count": 1},
    ]
    assert document["plan"]["digest"] == PLAN.digest
    assert Plan.from_json(document["plan"]["whole"]) == PLAN
    assert document["models"] == [MODEL]
    assert document["thresholds"][0]["model"] == ["0.5"]
    assert {"velum", "python", "openvino", "opencv", "av", "pillow"} <= document["software"].keys()
    assert "anna" not in json.dumps(document)  # the source's name may be that of a person


@pytest.mark.parametrize(
    ("side", "name"),
    [(15, "under 16 px"), (16, "16 to 31 px"), (127, "64 to 127 px"), (128, "128 px and more")],
)
def test_assigns_sizes_to_size_classes(side: int, name: str) -> None:
    assert size_class(side) == name


def test_states_anonymised_only_without_any_reason_against_it(key: PrivateKey, tmp_path: Path) -> None:
    gone = Declared(originals_destroyed=True)
    assert evidence(key, declared=gone)["standing"] == "anonymised"
    assert "originals" in evidence(key)["because"][0]
    linked = evidence(key, declared=Declared(originals_destroyed=True, identity_links=True))
    assert (linked["standing"], linked["because"]) == ("pseudonymised", ["links to identities are kept"])
    weak = compose((), Plan.of("face: centerface -> blur"), (), gone)
    assert weak["standing"] == "pseudonymised"
    assert "does not destroy" in weak["because"][0]
    told = {"passed": False, "leaks": [], "sha256": report().output_sha256}
    (tmp_path / "check.json").write_text(json.dumps(told))
    failed = file_entry(report(), "out.jpg", check=read_result(tmp_path / "check.json"))
    assert "check" in evidence(key, failed, declared=gone)["because"][0]


@pytest.mark.parametrize("text", ["[]", '{"passed": "yes"}', "nonsense"])
def test_refuses_malformed_results_of_commands(tmp_path: Path, text: str) -> None:
    (tmp_path / "check.json").write_text(text)
    with pytest.raises(BadInput, match=r"check\.json"):
        read_result(tmp_path / "check.json")


def test_refuses_a_plan_other_than_that_of_the_report() -> None:
    assert same_plan(report(), None) == PLAN
    with pytest.raises(BadInput, match="the report belongs to plan"):
        same_plan(report(), Plan.of("face: centerface -> blur"))
    with pytest.raises(BadInput, match="add the plan with --plan"):
        same_plan(report(plan=Plan(PLAN.rules, quality=80).digest), None)


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in items:
        yield (*at, name)
        yield from paths(one, (*at, name))


@given(data=st.data())
def test_notices_every_changed_value(key: PrivateKey, data: st.DataObject) -> None:
    document = evidence(key)
    assert holds(document)
    changed = copy.deepcopy(document)
    *way, last = data.draw(st.sampled_from([path for path in paths(document) if path[0] != "format"]))
    inner = changed
    for name in way:
        inner = inner[name]
    if data.draw(st.booleans()):
        del inner[last]
    else:
        new: Any = data.draw(
            st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3) | st.just([]) | st.just({})
        )
        if canonical(new) == canonical(inner[last]):
            return
        inner[last] = new
    assert not verify(changed)[0][0]


def test_notices_an_added_value(key: PrivateKey) -> None:
    document = evidence(key)
    assert not holds({**document, "more": 1})
    assert not holds({**document, "signature": {**document["signature"], "more": 1}})
    assert not holds({**document, "signature": None})


def test_notices_another_key(key: PrivateKey, tmp_path: Path) -> None:
    keygen(tmp_path / "other")
    other = PrivateKey.read(tmp_path / "other")
    document = evidence(key)
    assert holds(document, key=key.public)
    assert not holds(document, key=other.public)
    stolen = {
        **document,
        "signature": {**document["signature"], "public_key": other.public.text, "key_id": other.public.id},
    }
    assert not holds(stolen)


def test_compares_files_and_folders_with_the_evidence(key: PrivateKey, tmp_path: Path) -> None:
    folder = tmp_path / "safe"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.jpg", "sub/b.jpg"):
        (folder / name).write_bytes(name.encode())
    entries = [file_entry(report(output_sha256=sha256_of(folder / name)), name) for name in ("a.jpg", "sub/b.jpg")]
    document = evidence(key, *entries)
    assert holds(document, folder, folder / "a.jpg")
    (folder / "c.jpg").write_bytes(b"new")
    assert [message for holds, message in verify(document, [folder]) if not holds] == [
        f"{folder / 'c.jpg'} is not in the evidence"
    ]
    (folder / "c.jpg").unlink()
    (folder / "a.jpg").write_bytes(b"other")
    assert not holds(document, folder)
    assert not holds(document, folder / "a.jpg")
    (folder / "a.jpg").unlink()
    assert not holds(document, folder)


def test_private_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    public = keygen(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert PublicKey.read(tmp_path / "key.pub") == public == PrivateKey.read(tmp_path / "key").public
    assert "PrivateKey object" not in repr(PrivateKey.read(tmp_path / "key"))
    with pytest.raises(OutputFailed, match="exists"):
        keygen(tmp_path / "key")


def test_reads_keys_with_a_passphrase(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("open sesame\n")
    (tmp_path / "wrong").write_text("open barley\n")
    (tmp_path / "empty").write_text("\n")
    keygen(tmp_path / "plain")
    public = keygen(tmp_path / "key", tmp_path / "word")
    assert b"ENCRYPTED" in (tmp_path / "key").read_bytes()
    assert PrivateKey.read(tmp_path / "key", tmp_path / "word").public == public
    for name, word, reason in (
        ("key", None, "is encrypted"), ("key", "wrong", "passphrase is wrong"), ("plain", "word", "not encrypted"),
        ("key", "empty", "no passphrase"), ("word", None, "not a private key"), ("none", None, "cannot read"),
    ):  # fmt: skip
        with pytest.raises(BadPlan, match=reason):
            PrivateKey.read(tmp_path / name, tmp_path / word if word else None)


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '{"format": "velum-evidence/1", "files": 3}', '{"format": "velum-evidence/1", "files": [{}]}', "\xff"],
)
def test_refuses_files_that_are_not_evidence(tmp_path: Path, text: str) -> None:
    (tmp_path / "evidence.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput, match=r"evidence\.json"):
        load(tmp_path / "evidence.json")


def test_the_page_has_no_script_no_links_and_no_image(key: PrivateKey) -> None:
    one = file_entry(report(warnings=("<script>alert(1)</script>",)), "<b>.jpg")
    document = evidence(key, one, declared=Declared(reviewers=('"><img src=x>',)))
    html = render_page(document, verify(document))
    assert "@media print" in html
    assert "<script" not in html
    assert "<img" not in html
    assert "http" not in html
    assert "&lt;b&gt;.jpg" in html
    assert "Nothing was found to hide" in html


def test_the_page_says_that_the_evidence_was_changed(key: PrivateKey) -> None:
    document = {**evidence(key), "standing": "anonymised", "models": []}
    assert "was changed after" in render_page(document, verify(document))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_json_is_read_or_refused_as_evidence(key: PrivateKey, tmp_path: Path, data: st.DataObject) -> None:
    document = evidence(key)
    *way, last = data.draw(st.sampled_from(list(paths(document))))
    inner: Any = document
    for name in way:
        inner = inner[name]
    inner[last] = data.draw(st.none() | st.integers(-9, 9) | st.text(max_size=3) | st.just([3]) | st.just({"a": 1}))
    (tmp_path / "evidence.json").write_text(json.dumps(document))
    try:
        read = load(tmp_path / "evidence.json")
    except BadInput:
        return
    assert render_page(read, verify(read)).startswith("<!doctype html>")
