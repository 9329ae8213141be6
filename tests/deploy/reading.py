"""Reads the files that deploy velum."""

import json
import runpy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer.main
import yaml
from typer.core import TyperGroup

import velum
from velum.cli.main import app

ROOT = Path(__file__).parents[2]
VERSION = velum.__version__
IMAGE = f"velum:{VERSION}"


@dataclass
class Stage:
    """What the instructions of one stage of the Dockerfile say."""

    said: list[tuple[str, str]] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        return [rest for one, rest in self.said if one == word]

    def last(self, word: str) -> str:
        return self.all(word)[-1]

    def listed(self, word: str) -> list[str]:
        rest = self.last(word)
        words: list[str] = json.loads(rest[rest.index("[") :])
        return words


def stages() -> Sequence[Stage]:
    """The stages of the Dockerfile, read as scripts/container-trial reads it."""
    found: list[Stage] = [Stage()]
    trial = runpy.run_path(str(ROOT / "scripts/container-trial"))
    for word, rest in trial["instructions"]((ROOT / "Dockerfile").read_text()):
        if word == "FROM":
            found.append(Stage())
        found[-1].said.append((word, rest))
    return found[1:]


def compose() -> Mapping[str, Any]:
    """The compose files by what they add: bmw, gpu, ...; the one that they go with is `yaml`."""
    files = [ROOT / "compose.yaml", *sorted((ROOT / "deploy").glob("compose.*.yaml"))]
    return {file.name.split(".")[1]: yaml.safe_load(file.read_text()) for file in files}


def kubernetes(folder: str) -> list[dict[str, Any]]:
    """The resources that a kustomization lists."""
    room = ROOT / "deploy/kubernetes" / folder
    wanted = yaml.safe_load((room / "kustomization.yaml").read_text())["resources"]
    found: list[dict[str, Any]] = []
    for one in wanted:
        found += kubernetes(f"{folder}/{one}") if (room / one).is_dir() else [yaml.safe_load((room / one).read_text())]
    return found


def check_command(words: Sequence[str]) -> None:
    """Assert that velum has the command, and the command its options."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    command = group.commands[words[0]]
    options = {option for one in command.params for option in one.opts}
    assert {word for word in words if word.startswith("--")} <= options


def default(text: object) -> str:
    """Return what a compose file says where no variable is set: `${NAME:-value}` is `value`."""
    head, _, rest = str(text).partition("${")
    name, _, tail = rest.partition("}")
    return head + name.partition(":-")[2] + default(tail) if rest else head
