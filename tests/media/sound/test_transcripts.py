"""Words that a transcript has are muted where they are said, and the transcript is written without them."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.media.video.factories import Clip, made
from tests.rows import exhaustive
from typer.testing import CliRunner

from velum import Engine, Plan
from velum.cli.main import app
from velum.errors import BadInput, BadPlan, OutputFailed
from velum.plan import Video
from velum.plugins import RuntimeConfig
from velum.verify.leak_check import Check

from .factories import decode_sound, noise, write_sound

RULE = "text(match='phone|card', names='Jane Roe')"
ZONE = Plan.of("zone: fixed(box=[0, 0, 1, 1]) -> blacken", video=Video(mute=RULE))
RATE = 8000


@pytest.fixture
def engine() -> Any:
    with Engine(host=RuntimeConfig(offline=True)) as engine:
        yield engine


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_sound(tmp_path / "talk.wav", [noise(9, RATE, level=0.1)], "pcm_s16le", rate=RATE)


def hide(engine: Engine, source: Path, text: str, suffix: str = ".vtt", plan: Plan = ZONE) -> tuple[Any, str]:
    """Hide with a transcript; return the report and the redacted transcript."""
    path = source.with_suffix(suffix)
    path.write_bytes(text.encode())
    report = engine.hide(source, source.with_name(f"out{source.suffix}"), plan, transcript=path, overwrite=True)
    return report, source.with_name(f"out{suffix}").read_bytes().decode()


def word(text: str, start: Any, end: Any) -> dict[str, Any]:
    return {"word": text, "start": start, "end": end, "probability": 0.9}


VTT = """WEBVTT - talk of Jane Roe

STYLE
::cue(v[voice="Jane Roe"]) { color: red }

REGION
id:low lines:3

NOTE call 0171
2345678 for more

first
00:00.500 --> 00:01.000 align:start
<v Jane Roe>My <i>number</i> is

00:01.500 --> 00:03.000
null eins <00:02.000>sieben <00:02.500>zwo

00:03.000 --> 00:04.000
drei<c> vier fünf</c> <00:03.500>sechs

00:05.000 --> 00:06.000
&lt;J&#97;<b>n</b>e
Roe&gt; bye
"""
VTT_REDACTED = """WEBVTT - talk of [muted]

STYLE
::cue(v[voice="[muted]"]) { color: red }

REGION
id:low lines:3

NOTE call [muted] for more

first
00:00.500 --> 00:01.000 align:start
<v [muted]>My <i>number</i> is

00:01.500 --> 00:03.000
[muted]<00:02.000>[muted]<00:02.500>[muted]

00:03.000 --> 00:04.000
[muted]<c></c><00:03.500>[muted]

00:05.000 --> 00:06.000
&lt;[muted]<b></b>
[muted]&gt; bye
"""
SRT = """\ufeff1
00:00:01,000 --> 00:00:02,000 X1:10
{\\an8}My card is <i>4111 1111</i>

2
00:00:02,500 --> 00:00:04,000
1111 1111, ok?
""".replace("\n", "\r\n")
SRT_REDACTED = SRT.replace("4111 1111", "[muted]").replace("1111 1111", "[muted]")
SEGMENTS = [
    {"id": 0, "start": 0.0, "end": 4.0, "text": " Hello, call 0171", "tokens": [1, 2], "avg_logprob": -0.5,
     "words": [word(" Hello,", 0, 0.5), word(" call", 0.5, 1), word(" 0171", 2, 3)]},
    {"id": 1, "start": 4.0, "end": 8.0, "text": " 234 5678 okay.", "tokens": [3],
     "words": [word(" 234", 4, 4.5), word(" 5678", 5, 5.5), word(" okay.", 7, 8)]},
]  # fmt: skip
WHISPER = {"text": " Hello, call 0171 234 5678 okay.", "segments": SEGMENTS, "language": "en"}


@pytest.mark.parametrize(
    ("suffix", "text", "redacted", "muted", "counts"),
    [
        (".vtt", VTT, VTT_REDACTED, [[1.35, 4.15], [4.85, 6.15]], {"name": 1, "phone": 1}),
        (".srt", SRT, SRT_REDACTED, [[0.85, 4.15]], {"card": 1, "phone": 1}),
        (".json", json.dumps(WHISPER), None, [[1.85, 5.65]], {"phone": 1}),
    ],
)
def test_words_are_muted_and_the_transcript_is_redacted(
    engine: Engine, source: Path, suffix: str, text: str, redacted: str | None, muted: Any, counts: Any
) -> None:
    report, written = hide(engine, source, text, suffix, replace(ZONE, verify=True))
    assert redacted is None or written == redacted
    assert report.sound[0]["action"] == "mute"
    assert np.allclose(report.sound[0]["muted"], muted, atol=0.002)
    assert report.transcript["muted"] == counts
    assert report.check
    assert report.check["passed"]
    (_, before), (_, after) = decode_sound(source), decode_sound(source.with_name("out.wav"))
    kept = np.ones(before.shape[1], bool)
    for start, end in muted:
        assert not after[:, round(start * RATE) + 9 : round(end * RATE) - 9].any()
        kept[round(start * RATE) - 9 : round(end * RATE) + 9] = False
    assert np.array_equal(before[:, kept], after[:, kept])


def test_json_keeps_everything_but_words_and_their_tokens(engine: Engine, source: Path) -> None:
    other = {
        "speaker": "Jane Roe",
        "note": "0171 2345678",
        "settings": {"names": ["Jane", "Roe"], "beam": 5},
        "by": {"Jane Roe": 1, "jane roe": 2},
    }
    whole = {**WHISPER, **other, "word_segments": [word("0171", 2, 3), word("2345678", 4, 5)]}
    _, written = hide(engine, source, json.dumps(whole, indent=2), ".json")
    value = json.loads(written)
    assert value["text"] == " Hello, call [muted] [muted] okay."
    assert [segment["text"] for segment in value["segments"]] == [" Hello, call [muted]", " [muted] okay."]
    assert [segment["tokens"] for segment in value["segments"]] == [[], []]
    assert [entry["word"] for entry in value["segments"][0]["words"]] == [" Hello,", " call", " [muted]"]
    assert value["segments"][0]["words"][2]["start"] == 2
    assert value["segments"][0]["avg_logprob"] == -0.5
    assert (value["speaker"], value["note"], value["language"]) == ("[muted]", "[muted]", "en")
    assert value["settings"] == {"names": ["[muted]", "[muted]"], "beam": 5}
    assert [entry["word"] for entry in value["word_segments"]] == ["[muted]", "[muted]"]
    assert value["by"] == {"[muted]": 1, "[muted] (2)": 2}
    assert written.startswith('{\n  "text"')


@pytest.mark.parametrize(
    ("words", "muted"),
    [
        (None, [[1.85, 6.15]]),
        ([word(" call", 2, 3), word(" 0171", 3, 4), word(" 2345678", None, None)], [[1.85, 6.15]]),
        ([word(" call", 5, 6), word(" 0171", 3, 4), word(" 2345678", 4, 5)], [[1.85, 6.15]]),
        ([word(" call", 2, 3), word(" 0171", 3, 3), word(" 2345678", 4, 5)], [[1.85, 6.15]]),
        ([word(" call", 2, 3), word(" nobody", 3, 4)], [[1.85, 6.15]]),
        ([word(" call", 2, 3), word(" 0171", 3, 4), word(" 2345678", 4, 5)], [[2.85, 5.15]]),
    ],
)
def test_without_sensible_times_of_words_the_whole_segment_is_muted(
    engine: Engine, source: Path, words: Any, muted: Any
) -> None:
    segment = {"start": 2, "end": 6, "text": " call 0171 2345678", "words": words, "tokens": [7]}
    report, written = hide(engine, source, json.dumps([segment]), ".json")
    assert np.allclose(report.sound[0]["muted"], muted, atol=0.002)
    assert "0171" not in written
    assert "2345678" not in written


def test_captions_that_roll_up_are_redacted_wherever_they_are_shown(engine: Engine, source: Path) -> None:
    text = (
        "WEBVTT\n\n00:00.000 --> 00:01.000\ncall<00:00.500><c> 0171</c>\n\n"
        "00:01.000 --> 00:02.000\ncall 0171\n234567 bye\n\n00:02.000 --> 00:03.000\n234567 bye\nokay\n"
    )
    report, written = hide(engine, source, text)
    assert written.count("[muted]") == 4
    assert "0171" not in written
    assert "234567" not in written
    assert report.sound[0]["muted"][0][0] <= 0.35


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("\ufeff\r\n", "empty"),
        ("WEBVTT\n\nhello", "no cue"),
        ("hello", "no cue"),
        ("WEBVTT\n\n00:05.000 --> 00:04.000\nx", "earlier"),
        ("1\n-00:00:05,000 --> 00:00:06,000\nx", "negative"),
        ("1\n00:00:05,000 -> 00:00:06,000\nx\n\n2\n5 --> 6\ny", "line 6"),
        ("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\n00:00.000 --> 00:01.000\nx", "X-TIMESTAMP-MAP"),
        ("1\n100:00:00,000 --> 100:00:01,000\nx", "360000.0 s"),
        ("WEBVTT\n\n00:30.000 --> 00:31.000\nother talk", "30.0 s"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "too deeply"),
        ('{"segments":' + "[" * 40 + "]" * 40 + "}", "levels"),
        ('{"text": "0171 2345678"}', "no segments"),
        ('[{"start": 0, "text": "x"}]', "segment 1 has no start and end"),
        ('[{"start": NaN, "end": 1, "text": "x"}]', "segment 1 has no start and end"),
        ('[{"start": -1, "end": 1, "text": "x"}]', "negative"),
        ('[{"start": 2, "end": 1, "text": "x"}]', "earlier"),
        ('[{"start": 1, "end": 2}]', "has no text"),
    ],
)
def test_a_transcript_that_cannot_be_is_refused(engine: Engine, source: Path, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        hide(engine, source, text)
    assert sorted(path.name for path in source.parent.iterdir()) == ["talk.vtt", "talk.wav"]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_another_encoding_is_refused(engine: Engine, source: Path, encoding: str) -> None:
    path = source.with_suffix(".srt")
    path.write_bytes("1\n00:00:01,000 --> 00:00:02,000\nJane Rö".encode(encoding))
    with pytest.raises(BadInput, match="UTF-8"):
        engine.hide(source, source.with_name("out.wav"), ZONE, transcript=path)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("WEBVTT\n\n00:01.000 --> 00:09.000\nhello", "nothing in the transcript matched"),
        ("WEBVTT\n\n00:01.000 --> 00:03.000\n0171 2345678\n\n00:02.000 --> 00:09.000\nhello", "overlap"),
        ("WEBVTT\n\n00:01.000 --> 00:09.000\nMister Roe", "part of a name is said alone 1 time"),
        ("WEBVTT\n\nNOTE 0171 2345678\n\n00:01.000 --> 00:09.000\nhello", "1 note or name"),
        ("WEBVTT\n\n00:01.000 --> 00:09.000\n0171 2345678", "whole cues"),
    ],
)
def test_doubts_are_told(engine: Engine, source: Path, text: str, warning: str) -> None:
    report, _ = hide(engine, source, text)
    assert [note for note in report.warnings if warning in note]
    assert not [note for note in report.warnings if "2345678" in note]


def test_a_transcript_that_ends_early_is_told(engine: Engine, tmp_path: Path) -> None:
    source = write_sound(tmp_path / "a.wav", [noise(20, RATE)], "pcm_s16le", rate=RATE)
    report, _ = hide(engine, source, "WEBVTT\n\n00:01.000 --> 00:02.000\n0171 2345678")
    assert "the transcript ends 18 s before the sound; nothing was muted in the rest of it" in report.warnings


def test_the_subtitles_of_a_video_do_not_say_what_is_muted(engine: Engine, tmp_path: Path) -> None:
    source = made(tmp_path / "talk", Clip(suffix=".mkv", frames=100, audio=("aac",), subtitles="subrip"))
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\nJane Roe"
    report, _ = hide(engine, source, text, plan=replace(ZONE, verify=True))
    assert b"Jane Roe" in source.read_bytes()
    assert b"Jane Roe" not in source.with_name("out.mkv").read_bytes()
    assert [note for note in report.warnings if "may say the words that are muted" in note]
    _, after = decode_sound(source.with_name("out.mkv"))
    assert np.abs(after[:, round(1.1 * 48_000) : round(1.9 * 48_000)]).max() < 1e-3
    assert np.abs(after[:, round(2.5 * 48_000) : 3 * 48_000]).max() > 1e-2


def test_both_files_are_published_or_none(engine: Engine, source: Path) -> None:
    transcript, target = source.with_name("said.vtt"), source.with_name("out.wav")
    transcript.write_text("WEBVTT\n\n00:01.000 --> 00:02.000\n0171 2345678", encoding="utf-8")
    beside = source.with_name("out.vtt")
    beside.write_text("mine", encoding="utf-8")
    with pytest.raises(OutputFailed, match=r"out\.vtt"):
        engine.hide(source, target, ZONE, transcript=transcript)
    assert beside.read_text(encoding="utf-8") == "mine"
    assert not target.exists()
    with pytest.raises(OutputFailed, match="source itself"):
        engine.hide(source, source.with_name("said.wav"), ZONE, transcript=transcript, overwrite=True)
    source.write_bytes(source.read_bytes()[:40])
    with pytest.raises(BadInput):
        engine.hide(source, target, ZONE, transcript=transcript, overwrite=True)
    assert beside.read_text(encoding="utf-8") == "mine"
    assert not target.exists()


@pytest.mark.parametrize("has_earlier", [True, False])
def test_the_earlier_result_stays_where_the_transcript_cannot_be_written(
    engine: Engine, tmp_path: Path, has_earlier: bool
) -> None:
    source = made(tmp_path / "talk", Clip(suffix=".mkv", frames=50, audio=("aac",)))
    transcript, target, beside = tmp_path / "talk.vtt", tmp_path / "out.mkv", tmp_path / "out.vtt"
    transcript.write_text("WEBVTT\n\n00:01.000 --> 00:02.000\n0171 2345678", encoding="utf-8")
    if has_earlier:
        target.write_bytes(b"earlier")

    def take_name(*_: object) -> None:
        beside.mkdir(exist_ok=True)

    with pytest.raises(OutputFailed, match=r"out\.vtt"):
        engine.hide(source, target, ZONE, transcript=transcript, overwrite=True, progress=take_name)
    assert target.exists() == has_earlier
    assert not has_earlier or target.read_bytes() == b"earlier"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize("regex", ["o", ".", "muted|WEBVTT"])
def test_an_odd_expression_leaves_a_transcript_that_can_be_read(engine: Engine, source: Path, regex: str) -> None:
    plan = replace(ZONE, video=Video(mute=f"text(regex='{regex}')"), verify=True)
    report, written = hide(engine, source, "WEBVTT muted\n\n00:01.000 --> 00:02.000\nmuted foo\n", plan=plan)
    assert written.startswith("WEBVTT")
    assert "o" not in written.split("\n", 3)[3] or regex == "muted|WEBVTT"
    assert report.transcript["muted"]["regex"] >= 1


@pytest.mark.parametrize(
    ("mute", "with_transcript", "name", "message"),
    [
        (RULE, False, "talk.wav", "add --transcript"),
        (None, True, "talk.wav", "add --mute"),
        (RULE, True, "talk.png", "neither a video nor a sound file"),
        ("text(match='phones')", True, "talk.wav", "phones"),
    ],
)
def test_what_does_not_go_together_is_refused(
    engine: Engine, source: Path, mute: str | None, with_transcript: bool, name: str, message: str
) -> None:
    transcript = source.with_suffix(".vtt")
    transcript.write_text(VTT, encoding="utf-8")
    if name.endswith(".png"):
        Image.new("RGB", (9, 9)).save(source.with_name(name))
    plan = replace(ZONE, video=Video(mute=mute))
    with pytest.raises(BadPlan, match=message):
        engine.hide(
            source.with_name(name), source.with_name(f"out{Path(name).suffix}"), plan,
            transcript=transcript if with_transcript else None,
        )  # fmt: skip


def test_plans_write_it_as_rules_of_text_are_written() -> None:
    plan = Plan(video=Video(mute="phone | card"))
    assert plan.video.mute == "text(match='phone|card')"
    assert Plan.from_toml(plan.to_toml()) == plan
    assert Plan.from_json(plan.to_json()) == plan
    assert not {"mute", "bleep"} & set(Plan().to_json()["video"])
    assert Plan.from_toml(replace(plan, video=Video(mute="phone", bleep=True)).to_toml()).video.bleep
    with pytest.raises(BadPlan, match=r"video\.mute is 3"):
        Plan.from_json({"video": {"mute": 3}})


def test_a_tone_sounds_in_place_of_words(engine: Engine, source: Path) -> None:
    plan = replace(ZONE, video=Video(mute=RULE, bleep=True), verify=True)
    report, _ = hide(engine, source, VTT, plan=plan)
    assert report.check
    assert report.check["passed"]
    (start, end), _ = report.sound[0]["muted"]
    bleeped = [decode_sound(source.with_name("out.wav"))[1]]
    assert np.array_equal(
        decode_sound(source)[1][:, : round(start * RATE) - 1], bleeped[0][:, : round(start * RATE) - 1]
    )
    write_sound(source, [noise(9, RATE, level=0.3, seed=5)], "pcm_s16le", rate=RATE)
    hide(engine, source, VTT, plan=plan)
    bleeped.append(decode_sound(source.with_name("out.wav"))[1])
    here, there = (wave[0, round(start * RATE) : round(end * RATE)] / 32_768 for wave in bleeped)
    assert np.array_equal(here, there)
    spectrum = np.abs(np.fft.rfft(here))
    assert np.argmax(spectrum) * RATE / len(here) == pytest.approx(1000, abs=1)
    assert np.abs(here).max() == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize(
    ("encoder", "suffix"), [("adpcm_ms", ".wav"), *exhaustive([("libopus", ".ogg"), ("pcm_mulaw", ".wav")])]
)
def test_the_check_tells_a_tone_from_words(engine: Engine, tmp_path: Path, encoder: str, suffix: str) -> None:
    source = write_sound(tmp_path / f"a{suffix}", [noise(9, RATE, level=0.1)], encoder, rate=RATE)
    _, written = hide(engine, source, VTT, plan=replace(ZONE, video=Video(mute=RULE, bleep=True), verify=True))
    assert "[muted]" in written
    check = Check(engine, RuntimeConfig(offline=True), engine.limits)
    tone = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(9 * RATE) / RATE)
    for wave, is_clean in ((tone, True), (tone + noise(9, RATE, level=0.01), False), (5 * tone, False)):
        other = write_sound(tmp_path / f"c{suffix}", [wave], encoder, rate=RATE)
        assert check(other, ZONE, transcript=source.with_name("out.vtt")).is_clean == is_clean


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "nothing is muted; add video.mute, or video.audio = speech-mute"),
        ({"audio": "silence"}, "nothing is muted"),
        ({"audio": "voice"}, "nothing is muted"),
        ({"audio": "drop", "mute": "phone"}, "nothing is muted"),
        ({"audio": "speech-mute", "bleep": "yes"}, "must be true or false"),
    ],
)
def test_a_tone_needs_what_is_muted(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadPlan, match=message):
        Video(**{"bleep": True, **settings})


def test_the_check_finds_words_that_are_left(engine: Engine, source: Path) -> None:
    hide(engine, source, VTT)
    check = Check(engine, RuntimeConfig(offline=True), engine.limits)
    target, redacted = source.with_name("out.wav"), source.with_name("out.vtt")
    assert check(target, ZONE, transcript=redacted).is_clean
    found = check(target, ZONE, transcript=source.with_suffix(".vtt"))
    assert {leak.kind for leak in found.leaks} == {"transcript"}
    found = check(source, ZONE, transcript=redacted)
    assert {leak.kind for leak in found.leaks} == {"audio"}


def test_by_the_command_line(source: Path) -> None:
    transcript = source.with_suffix(".srt")
    transcript.write_bytes(SRT.encode())
    arguments = ["--transcript", str(transcript), "--mute", "card"]
    result = CliRunner().invoke(app, ["hide", str(source), *arguments, "--bleep"])
    assert result.exit_code == 0, result.output
    assert "1 card muted in 3.3 s of sound" in result.output
    hidden = source.with_name("talk.hidden.wav")
    assert hidden.with_suffix(".srt").read_bytes().decode() == SRT_REDACTED
    arguments[1] = str(hidden.with_suffix(".srt"))
    assert CliRunner().invoke(app, ["check", str(hidden), *arguments]).exit_code == 0
    assert CliRunner().invoke(app, ["check", str(source), *arguments]).exit_code == 1


def test_the_example_of_the_docs_runs_as_written(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs/sound.md").read_text(encoding="utf-8")
    before, after = re.findall(r"```vtt\n(.*?)```", page, re.DOTALL)
    command = next(line for line in page.splitlines() if line.startswith("velum hide talk.wav --transcript"))
    source.with_suffix(".vtt").write_text(before, encoding="utf-8")
    monkeypatch.chdir(source.parent)
    result = CliRunner().invoke(app, [*shlex.split(command)[1:], "--json"])
    assert result.exit_code == 0, result.output
    assert Path("talk.hidden.vtt").read_text(encoding="utf-8") == after
    assert json.loads(result.stdout)["sound"][0]["muted"] == [[2.85, 7.65]]
