"""Files, settings and commands in the Dockerfile exist, and the image has no needless privileges."""

import re
import shlex
import tomllib

import pytest
from tests.deploy.reading import ROOT, VERSION, check_command, stages

from velum.settings import variables

BUILD, FINAL = stages()


def sent() -> list[str]:
    """What .dockerignore lets through, as it writes it."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    return [line.removeprefix("!").split("/")[0] for line in lines if line.startswith("!")]


def test_copied_files_exist_and_are_not_ignored() -> None:
    for stage in (BUILD, FINAL):
        for words in map(shlex.split, stage.all("COPY")):
            for source in words[:-1] if not words[0].startswith("--from=") else []:
                assert (ROOT / source).exists()
                assert source in sent()


def test_commands_use_only_files_that_were_copied_before() -> None:
    copied: list[str] = []
    for word, rest in BUILD.said:
        if word == "COPY":
            copied += shlex.split(rest)[:-1]
        if word == "RUN" and "--requirement" in rest:
            assert "requirements" in copied
        if word == "RUN" and rest.startswith("/opt/velum/bin/pip install --no-deps"):
            project = tomllib.loads((ROOT / "pyproject.toml").read_text())
            assert {"src", "pyproject.toml", project["project"]["readme"], "LICENSE"} <= set(copied)


@pytest.mark.parametrize("name", ["run", "gpu"])
def test_requirements_are_hashed_and_name_no_host(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text()
    assert name in " ".join(BUILD.all("ARG")) + (ROOT / "deploy/compose.gpu.yaml").read_text()
    assert "://" not in text
    for one in re.split(r"\n(?=\w)", text):
        assert "--hash=sha256:" in one


def test_every_variable_is_a_setting() -> None:
    words = [word.partition("=")[0] for rest in FINAL.all("ENV") for word in shlex.split(rest)]
    ours = {word for word in words if word.startswith("VELUM_")}
    assert ours == {
        "VELUM_CACHE", "VELUM_OFFLINE", "VELUM_REMOTE_PRIVATE", "VELUM_ACCESS_REQUIRED", "VELUM_BMW_FOLDER",
        "VELUM_BMW_VIDEOS",
    }  # fmt: skip
    assert ours <= variables().keys()


def test_the_command_exists_and_listens_at_the_exposed_port() -> None:
    command = FINAL.listed("ENTRYPOINT") + FINAL.listed("CMD")
    assert command[0] == "velum"
    check_command(command[1:])
    port = command[command.index("--port") + 1]
    assert FINAL.last("EXPOSE") == port
    assert f"'127.0.0.1', {port}" in FINAL.listed("HEALTHCHECK")[-1]
    compile(FINAL.listed("HEALTHCHECK")[-1], "healthcheck", "exec")


def test_the_user_is_unprivileged_and_owns_only_writable_folders() -> None:
    uid, _, gid = FINAL.last("USER").partition(":")
    assert int(uid) > 9999
    assert int(gid) > 9999
    (made,) = [rest for rest in FINAL.all("RUN") if "useradd" in rest]
    assert f"--uid {uid} " in made
    folders = made.partition("--mode=0775 ")[2].split()
    env = dict(word.split("=", 1) for rest in FINAL.all("ENV") for word in shlex.split(rest))
    assert {FINAL.last("VOLUME"), env["VELUM_BMW_FOLDER"], env["VELUM_BMW_VIDEOS"]} == set(folders)
    assert FINAL.last("STOPSIGNAL") == "SIGTERM"


def test_installs_turbojpeg_and_leaves_no_package_lists() -> None:
    (made,) = [rest for rest in FINAL.all("RUN") if "apt-get install" in rest]
    assert "libturbojpeg0" in made
    assert "--no-install-recommends" in made
    assert made.endswith("rm -rf /var/lib/apt/lists/*")


def test_the_image_contains_no_addresses_or_passwords_of_the_build() -> None:
    assert not [rest for rest in FINAL.all("ARG") + FINAL.all("ENV") if "PIP" in rest]
    assert not [rest for rest in BUILD.all("ENV") if "INDEX" in rest]
    assert "://" not in (ROOT / "Dockerfile").read_text()
    assert all("id=pip,target=/etc/pip.conf" in rest for rest in BUILD.all("RUN") if "--mount" in rest)


def test_versions_agree() -> None:
    assert f'version="{VERSION}"' in FINAL.last("LABEL")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = re.search(r"BASE=python:(\S+)-slim", (ROOT / "Dockerfile").read_text())
    assert base is not None
    assert f"Programming Language :: Python :: {base[1]}" in project["classifiers"]


def test_nothing_depends_on_the_processor_architecture() -> None:
    assert not re.search(r"x86|--platform|TARGETARCH|manylinux", (ROOT / "Dockerfile").read_text())
