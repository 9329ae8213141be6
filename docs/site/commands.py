"""The pages of the commands, from what `--help` says of each."""

import re
from collections.abc import Iterator
from typing import Any

import typer
from docs.site.markdown import code, escape, table
from typer.main import get_command

from velum.cli.main import app

INTRODUCTION = (
    "# Commands\n\nEvery command, as `velum COMMAND --help` explains it. The exit codes are listed in "
    "[errors](../errors.md).\n\n"
)


def command_pages() -> dict[str, str]:
    """Return the Markdown of every page, by its path in the site: an index, and one for each command."""
    root: Any = get_command(app)
    shown = {name: command for name, command in root.commands.items() if not command.hidden}
    index = table(
        ["command", "what it does"],
        ((f"[`velum {name}`]({name}.md)", escape(command.help.split("\n\n")[0])) for name, command in shown.items()),
    )
    pages = {f"commands/{name}.md": _page(f"velum {name}", command) for name, command in shown.items()}
    return {"commands/index.md": INTRODUCTION + index, **pages}


def _page(name: str, command: Any) -> str:
    """Return the page of a command, with those of its group below."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return f"# {name}\n\n{_described(name, command)}"
    parts = [f"# {name}\n\n{_paragraphs(command.help)}"]
    parts += [f"## {name} {one}\n\n{_described(f'{name} {one}', each)}" for one, each in inner.items()]
    return "".join(parts)


def _described(name: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument" and not one.hidden]
    context = typer.Context(command, info_name=name)
    usage = " ".join(
        [name, *(re.sub(r"\{(.*?)(?:\.\.\.)?\}", r"\1", piece) for piece in command.collect_usage_pieces(context))]
    )
    text = f"```text\n{usage}\n```\n\n" + _paragraphs(command.help)
    text += table(["argument", "meaning"], ((code(_place(one)), escape(one.help or "")) for one in arguments))
    for panel, rows in _options(command, context).items():
        text += f"**{panel}**\n\n" + table(["option", "value", "meaning"], rows)
    examples = [line.strip() for line in (command.epilog or "").splitlines()[1:] if line.strip()]
    if examples:
        text += "**Examples**\n\n```sh\n" + "\n".join(examples) + "\n```\n\n"
    return text


def _options(command: Any, context: Any) -> dict[str, list[list[str]]]:
    """Return the rows of the options' tables, by the heading that `--help` gives them."""
    panels: dict[str, list[list[str]]] = {}
    for option in command.params:
        if option.param_type_name != "option" or option.hidden:
            continue
        names = ", ".join(code(name) for name in (*option.opts, *option.secondary_opts))
        panels.setdefault(option.rich_help_panel or "Options", []).append(
            [names, code(_value(option, context)), escape(_meaning(option))]
        )
    return panels


def _place(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _value(option: Any, context: Any) -> str:
    """Return what stands after an option; nothing for a switch."""
    if option.is_flag:
        return ""
    kind = str(option.display_type(context)).strip("<>")
    written = option.metavar or ("N" if kind.startswith("int") else "TEXT" if kind == "str" else kind.upper())
    if option.min is None:
        return str(written)
    return f"{written}, {option.min} to {option.max}" if option.max is not None else f"{written}, from {option.min}"


def _meaning(option: Any) -> str:
    """Return the help of an option, with its default where the text does not say it."""
    text = str(option.help or "")
    default = option.default
    plain = isinstance(default, str | int | float) and not isinstance(default, bool) and default != ""
    return f"{text} Default: {default}." if plain and option.show_default and "Default" not in text else text


def _paragraphs(text: str | None) -> str:
    return "".join(f"{escape(each)}\n\n" for each in _split(text or ""))


def _split(text: str) -> Iterator[str]:
    yield from (each for each in text.split("\n\n") if each.strip())
