"""What docs/bmw.md and docs/deploy.md tell those who come from the BMW Anonymization API is right, word for word."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from tests.deploy.reading import IMAGE, ROOT, check_command, stages

from velum.bmw import wire
from velum.bmw.available_methods import AvailableMethods, RemoteModel
from velum.bmw.plan import ParsedRequest, order
from velum.bmw.schema import read_configuration
from velum.bmw.techniques import list_techniques
from velum.errors import BadPlan
from velum.plugins import RuntimeConfig
from velum.service.admission import OWN_MODELS
from velum.service.auth.middleware import check_entrance
from velum.settings import Settings, variables

PAGE = (ROOT / "docs/bmw.md").read_text()
FINAL = stages()[-1]
ENVIRONMENT = dict(
    part.split("=", 1) for line in FINAL.all("ENV") for part in shlex.split(line.replace("\\\n", " "))
)  # fmt: skip


def blocks(language: str, page: str = PAGE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)


def commands(language: str) -> list[list[str]]:
    """The words of each command, lines that go on joined."""
    joined = re.sub(r"[\\`]\n", " ", "\n".join(blocks(language)))
    return [shlex.split(line) for line in joined.splitlines() if line.strip()]


@pytest.mark.parametrize("strict", [True, False])
def test_the_documented_configuration_is_valid(*, strict: bool) -> None:
    (text,) = blocks("json")
    entries = read_configuration(text.encode(), strict=strict)
    url = json.loads(text)["sensitive_info"][0]["url"]
    served = [
        (url, [RemoteModel("yolo", "detection", ("person",))]),
        (OWN_MODELS, [RemoteModel("centerface", "detection", ("face",))]),
    ]
    assert isinstance(
        order(entries, AvailableMethods.of(served, list_techniques(RuntimeConfig())), strict=strict), ParsedRequest
    )
    assert url in json.loads((ROOT / "deploy/list/url_configuration.json").read_text())["urls"]
    table = re.findall(r"^\| `(\w+)` \| ", PAGE[PAGE.index("| Field | Value |") :].split("\n\n")[0], re.MULTILINE)
    assert {*table} == {*wire.REQUIRED, "url"}


def test_the_documented_command_starts_the_service(tmp_path: Path) -> None:
    first, *_ = commands("sh")
    assignments = dict(word.split("=", 1) for word in first if "=" in word)
    words = [word for word in first if "=" not in word]
    assert assignments == {"VELUM_ACCESS_REQUIRED": "false"}
    assert "VELUM_ACCESS_REQUIRED" in variables()
    check_command(words[1:])
    host = words[words.index("--host") + 1]
    env = {"VELUM_JOBS_DATA": str(tmp_path)}
    check_entrance(Settings.load(env | assignments), host)
    with pytest.raises(BadPlan, match="VELUM_ACCESS_REQUIRED"):
        check_entrance(Settings.load(env), host)
    powershell = "\n".join(blocks("powershell"))
    assert '$env:VELUM_ACCESS_REQUIRED = "false"\nvelum serve --host 0.0.0.0\n' in powershell


@pytest.mark.parametrize("language", ["sh", "powershell"])
def test_the_documented_docker_command_mounts_both_folders(language: str) -> None:
    (words,) = [words for words in commands(language) if words[:2] == ["docker", "run"]]
    assert words[-1] == IMAGE
    mounted = [word.rpartition(":")[2] for word in words if word.endswith((":/jsonFiles", ":/main/anonymized_video"))]
    assert mounted == [ENVIRONMENT["VELUM_BMW_FOLDER"], ENVIRONMENT["VELUM_BMW_VIDEOS"]]
    assert words[words.index("-p") + 1].endswith(f":{FINAL.last('EXPOSE')}")
    assert ENVIRONMENT["VELUM_ACCESS_REQUIRED"] == "false"
    assert ENVIRONMENT["VELUM_REMOTE_PRIVATE"] == "true"


@pytest.mark.parametrize("language", ["sh", "powershell"])
def test_the_documented_curl_command_sends_the_right_fields(language: str) -> None:
    (words,) = [words for words in commands(language) if words[0] in {"curl", "curl.exe"}]
    fields = [words[i + 1].partition("=")[0] for i, word in enumerate(words) if word == "-F"]
    assert fields == [wire.IMAGE, wire.CONFIGURATION]
    assert words[-1].removeprefix("http://") == "localhost:4343/anonymize/"


def test_the_documented_compose_file_builds_no_image() -> None:
    (text,) = blocks("yaml", (ROOT / "docs/deploy.md").read_text())
    service = yaml.safe_load(text)["anonymization_api"]
    assert service["image"] == IMAGE
    assert "build" not in service
    assert service["ports"] == [f"8070:{FINAL.last('EXPOSE')}"]
    assert [one.rpartition(":")[2] for one in service["volumes"]] == [
        ENVIRONMENT["VELUM_BMW_FOLDER"], ENVIRONMENT["VELUM_BMW_VIDEOS"],
    ]  # fmt: skip
