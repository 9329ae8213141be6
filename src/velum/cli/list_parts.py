"""`velum techniques`, `velum labels`, `velum plan show` and `velum plan list`."""

import inspect

import typer

from velum.cli import common, options

plan_app = typer.Typer(help="Show a plan, or list the plans of velum.", no_args_is_help=True)


@plan_app.command("show")
def show(
    rule: options.Rules = [],
    hide_labels: options.Labels = [],
    technique: options.With = None,
    plan: options.PlanFile = None,
    keep: options.Keep = [],
    keep_out: options.KeepOut = [],
    quality: options.Quality = None,
    effort: options.Effort = None,
    json: options.Json = False,
) -> None:
    """Print the plan that these options make, as TOML for a file that --plan reads."""
    chosen_plan = options.with_people(
        options.PlanOptions(plan, rule, hide_labels, technique, keep, keep_out, quality, effort).plan()
    )
    if json:
        common.print_json(chosen_plan.to_json() | {"digest": chosen_plan.digest})
    else:
        typer.echo(chosen_plan.to_toml() + f"# digest {chosen_plan.digest}")


@plan_app.command("list")
def list_plans(json: options.Json = False) -> None:
    """List the plans that --plan takes by name."""
    from textwrap import fill

    from velum.built_in_plans import BUILT_IN_PLANS

    for named in BUILT_IN_PLANS.values():
        if json:
            common.print_json({"name": named.name, "purpose": named.purpose, "plan": named.plan().to_json()})
        else:
            typer.echo(fill(f"{named.name:12}{named.purpose}", width=80, subsequent_indent=" " * 12))


def labels(json: options.Json = False) -> None:
    """List the labels and, for each, the models that detect it: first those that --hide uses."""
    from velum.locate.registry import findings
    from velum.settings import Settings

    for label, chosen, others in findings(Settings.load().host()):
        if json:
            common.print_json({"label": label, "chosen": chosen, "others": others})
        else:
            beside = f"  (also {', '.join(others)})" if others else ""
            typer.echo(f"{label:16} {', '.join(chosen)}{beside}")


def techniques(json: options.Json = False) -> None:
    """List the installed techniques with their options and defaults."""
    from velum.errors import VelumError
    from velum.parts import load, names, options_of
    from velum.settings import Settings

    host = Settings.load().host()
    for name in names("velum.techniques", host):
        try:
            factory = load("velum.techniques", name, host)
        except VelumError as error:
            common.warn(str(error))
            continue
        options = {key: "required" if p.default is p.empty else p.default for key, p in options_of(factory).items()}
        labels = getattr(factory, "labels", None)
        summary = (inspect.getdoc(factory) or "").partition("\n")[0]
        if json:
            only = sorted(labels) if isinstance(labels, frozenset) else None
            common.print_json({"name": name, "options": options, "labels": only, "summary": summary})
        else:
            written = ", ".join(f"{key}={value}" for key, value in options.items())
            only_text = f" (only {', '.join(sorted(labels))})" if isinstance(labels, frozenset) else ""
            typer.echo(f"{name}({written}){only_text}\n    {summary}")
