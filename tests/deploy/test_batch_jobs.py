"""The batch jobs of Argo Workflows and AWS Batch: they start what velum has, and each machine has its shards."""

import json
from typing import Any

import pytest
import typer.main
import yaml
from tests.deploy.reading import IMAGE, ROOT, VERSION

from velum.cli.batch import app

AWS = {
    name: json.loads((ROOT / f"deploy/aws-batch/{name}.json").read_text()) for name in ("definition", "list", "hide")
}
ARGO = yaml.safe_load((ROOT / "deploy/argo/batch.yaml").read_text())["spec"]
STEPS, POD = ARGO["templates"]


@pytest.mark.parametrize(
    ("name", "operation"), [("definition", "RegisterJobDefinition"), ("list", "SubmitJob"), ("hide", "SubmitJob")]
)
def test_aws_batch_takes_its_job(name: str, operation: str) -> None:
    session = pytest.importorskip("botocore.session", reason="boto3 is not installed")
    validate = pytest.importorskip("botocore.validate", reason="boto3 is not installed")
    shape = session.get_session().get_service_model("batch").operation_model(operation).input_shape
    assert validate.ParamValidator().validate(AWS[name], shape).generate_report() == ""


def test_jobs_of_aws_batch_share_all_shards() -> None:
    commands = [AWS[name]["containerOverrides"]["command"] for name in ("list", "hide")]
    for command in commands:
        check_options(command)
    assert commands[0][:-1] == commands[1][:-2]
    assert commands[0][-1] == "--list"
    assert commands[1][-2:] == ["--shards", str(AWS["hide"]["arrayProperties"]["size"])]
    cores = AWS["definition"]["containerProperties"]["resourceRequirements"][0]["value"]
    assert commands[1][commands[1].index("--workers") + 1] == cores
    assert AWS["definition"]["containerProperties"]["image"].endswith(f"/velum:{VERSION}")
    assert {AWS[name]["jobDefinition"] for name in ("list", "hide")} == {AWS["definition"]["jobDefinitionName"]}


def test_steps_of_argo_share_all_shards() -> None:
    (listing,), (hiding,) = STEPS["steps"]
    assert {step["template"] for step in (listing, hiding)} == {POD["name"]}
    wanted = {parameter["name"] for parameter in POD["inputs"]["parameters"]}
    first, second = (
        {one["name"]: one["value"] for one in step["arguments"]["parameters"]} for step in (listing, hiding)
    )
    assert first == {"rest": "--list", "shard": ""}
    count = hiding["withSequence"]["count"]
    assert second == {"rest": f"--shards={count}", "shard": "{{item}}"}
    assert set(first) == wanted
    named = {f"{{{{workflow.parameters.{one['name']}}}}}" for one in ARGO["arguments"]["parameters"]}
    container = POD["container"]
    assert named == {count, *(text for text in texts(container) if text.startswith("{{workflow."))}
    assert container["image"] == IMAGE
    check_options([*container["command"], *container["args"]][1:])
    assert f"--workers={container['resources']['requests']['cpu']}" in container["args"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in ARGO["volumes"]}


def check_options(command: list[str]) -> None:
    """Assert that `velum batch` has the options of a command."""
    group: Any = typer.main.get_command(app)
    known = {option for parameter in group.commands["run"].params for option in parameter.opts}
    assert {word.partition("=")[0] for word in command if word.startswith("-")} <= known


def texts(value: object) -> list[str]:
    """The texts in YAML, at any depth."""
    if isinstance(value, dict):
        return [text for entry in value.values() for text in texts(entry)]
    if isinstance(value, list):
        return [text for entry in value for text in texts(entry)]
    return [str(value)]
