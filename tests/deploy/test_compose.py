"""The compose files agree with the image, the settings and each other, and give velum no needless privileges."""

import json
import re
from typing import Any

import pytest
from tests.deploy.reading import IMAGE, ROOT, check_command, compose, default, stages

from velum.settings import variables

FILES = compose()
VELUM = FILES["yaml"]["services"]["velum"]
OURS = {
    f"{name} {key}": one
    for name, file in FILES.items()
    for key, one in file["services"].items()
    if (key != "velum" and "VELUM_IMAGE" in one["image"]) or name == "yaml"
}
FINAL = stages()[-1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def host_and_container(volume: str) -> tuple[str, str]:
    host, container = default(volume).removesuffix(":ro").rsplit(":", 1)
    return host, container


def test_the_page_documents_every_compose_file() -> None:
    assert set(FILES) == {"yaml", "bmw", "bmw-tf", "gpu", "models", "techniques"}
    text = (ROOT / "docs/deploy.md").read_text()
    for name in set(FILES) - {"yaml"}:
        assert f"deploy/compose.{name}.yaml" in text
        assert f"-f compose.yaml -f deploy/compose.{name}.yaml up" in (ROOT / f"deploy/compose.{name}.yaml").read_text()


@pytest.mark.parametrize("service", OURS.values(), ids=OURS)
def test_our_containers_have_no_privileges(service: dict[str, Any]) -> None:
    assert default(service["image"]) == IMAGE
    assert service["user"] == FINAL.last("USER")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] <= 512
    assert {"cpus", "memory"} <= service["deploy"]["resources"]["limits"].keys()
    assert not {"privileged", "cap_add", "network"} & service.keys()


@pytest.mark.parametrize("name", FILES)
def test_every_variable_is_a_setting(name: str) -> None:
    for service in FILES[name]["services"].values():
        ours = {key for key in service.get("environment", {}) if key.startswith("VELUM_")}
        assert ours <= variables().keys()


def test_velum_uses_its_volume_and_its_port() -> None:
    env = VELUM["environment"]
    (volume,) = VELUM["volumes"]
    assert host_and_container(volume)[0] in FILES["yaml"]["volumes"]
    for key in ("VELUM_BMW_FOLDER", "VELUM_BMW_VIDEOS"):
        assert env[key].startswith(f"{host_and_container(volume)[1]}/")
    assert env["VELUM_REMOTE_PRIVATE"] == "true"
    assert [default(port) for port in VELUM["ports"]] == [f"127.0.0.1:8070:{FINAL.last('EXPOSE')}"]
    assert VELUM["healthcheck"]["test"][1:] == FINAL.listed("HEALTHCHECK")
    assert default(VELUM["environment"]["VELUM_THREADS"]) == default(VELUM["deploy"]["resources"]["limits"]["cpus"])


def test_package_indexes_and_proxies_come_from_the_environment() -> None:
    arguments = VELUM["build"]["args"]
    assert set(arguments.values()) == {None}
    known = {one.partition("=")[0] for one in [*re.findall(r"(?m)^ARG (.+)", DOCKERFILE), *stages()[0].all("ARG")]}
    assert {key for key in arguments if "PROXY" not in key} <= known


STACKS = [
    ("bmw", "list", "80", {"openvino_detection_api": "8081", "openvino_segmentation_api": "8090"},
     ["BMW-IntelOpenVINO-Detection-Inference-API", "BMW-IntelOpenVINO-Segmentation-Inference-API"]),
    ("bmw-tf", "list-tf", "4343", {"detection_api": "9998", "segmentation_api": "9999"},
     ["BMW-TensorFlow-Inference-API-CPU", "BMW-Semantic-Segmentation-Inference-API-GPU-CPU"]),
]  # fmt: skip
"""File, folder of its list, port in the containers, names and ports of that stack's own compose file, repositories."""


@pytest.mark.parametrize(
    ("file", "folder", "port", "published", "repositories"), STACKS, ids=[row[0] for row in STACKS]
)
def test_the_bmw_stacks_keep_their_names_and_ports(
    file: str, folder: str, port: str, published: dict[str, str], repositories: list[str]
) -> None:
    services = FILES[file]["services"]
    (listed,) = (ROOT / "deploy" / folder).iterdir()
    urls = json.loads(listed.read_text())["urls"]
    remote = [name for name in services if name not in {"velum", "list"}]
    assert remote == [*published]
    assert urls == [f"http://{name}:{port}/" for name in remote]
    for (name, outside), repository in zip(published.items(), repositories, strict=True):
        assert [default(one) for one in services[name]["ports"]] == [f"127.0.0.1:{outside}:{port}"]
        folders = [default(one) for one in services[name]["volumes"]]
        assert folders == [f"../{repository}/models:/models", f"../{repository}/models_hash:/models_hash"]
        assert "build" not in services[name], "built where its repository says how"
    assert host_and_container(services["list"]["volumes"][1]) == (f"./deploy/{folder}", "/list")
    assert f"cp -n /list/{listed.name} {VELUM['environment']['VELUM_BMW_FOLDER']}/" in services["list"]["command"][0]


def test_models_are_served_under_the_name_and_port_of_the_bmw_stack() -> None:
    ((name, service),) = FILES["models"]["services"].items()
    assert name in FILES["bmw"]["services"]
    check_command(service["command"])
    port = service["command"][service["command"].index("--port") + 1]
    assert service["sysctls"] == {"net.ipv4.ip_unprivileged_port_start": port}
    assert f"'127.0.0.1', {port}" in service["healthcheck"]["test"][-1]
    compile(service["healthcheck"]["test"][-1], "healthcheck", "exec")


def test_the_gpu_image_has_requirements_of_its_own() -> None:
    service = FILES["gpu"]["services"]["velum"]
    assert (ROOT / "requirements" / f"{service['build']['args']['REQUIREMENTS']}.txt").exists()
    assert default(service["image"]) == f"{IMAGE}-gpu"


def test_the_folder_of_techniques_is_the_mounted_one() -> None:
    service = FILES["techniques"]["services"]["velum"]
    assert [host_and_container(one)[1] for one in service["volumes"]] == [service["environment"]["VELUM_TECHNIQUES"]]
    assert all(one.endswith(":ro") for one in service["volumes"])
