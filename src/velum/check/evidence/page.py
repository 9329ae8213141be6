"""Evidence as a page to read and to print: no script, nothing fetched, no pictures."""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from velum.check.evidence.verify import Verdict

_STYLE = """
:root { color-scheme: light; font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; } h3 { font-size: 1rem; margin: 0; }
.standing { display: inline-block; margin: .75rem 0; padding: .2rem .8rem; border: 2px solid; border-radius: 1rem;
  font-weight: 600; }
.anonymised, .good { color: #11632f; } .pseudonymised { color: #8a4b00; } .bad { color: #a31621; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #d5dae0; }
th { font-weight: 600; width: 11rem; } th.number, td.number { text-align: right; width: 6rem; }
code { font: .85em/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
ul { margin: .3rem 0; padding-left: 1.2rem; }
section.file { margin: 1rem 0; padding: .8rem 1rem; border: 1px solid #d5dae0; border-radius: .4rem; }
footer { margin-top: 2rem; color: #57606a; font-size: .85rem; }
@page { size: A4; margin: 18mm 15mm; }
@media print {
  :root { font-size: 10pt; } body { max-width: none; margin: 0; padding: 0; }
  section.file, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
}
"""


_FOOTER = """<footer>Made by velum from the JSON, which alone counts and alone is signed:
hold the file against it with <code>velum evidence verify</code>.</footer>"""


def page(document: Mapping[str, Any], verdicts: Sequence[Verdict]) -> str:
    """Return the HTML page of evidence that `load` read, with what `verify` said of it."""
    standing, files = str(document.get("standing")), document["files"]
    kind = f"{len(files)} files" if document.get("kind") == "batch" else "one file"
    parts = [
        f"<h1>Evidence of {kind}</h1>",
        f'<p class="standing {escape(standing)}">{escape(standing)}</p>',
        _list(document["because"] or ["originals and links to identities are declared gone; all is destroyed"]),
        "<h2>Signature</h2>",
        "".join(_verdict(one) for one in verdicts),
        _table(_signer(document)),
        "<h2>How it was hidden</h2>",
        _table(_means(document)),
        f"<h2>Files</h2>{_failed(document)}",
        *map(_file, files),
        _FOOTER,
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Evidence: {escape(kind)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body>\n{chr(10).join(parts)}\n</body></html>\n"
    )


def _signer(document: Mapping[str, Any]) -> dict[str, str]:
    signature = _mapping(document.get("signature"))
    declared = document["declared"]
    return {
        "Made": _text(document.get("made")),
        "Key": _code(signature.get("public_key", "none")),
        "Reviewers": _text(", ".join(document["reviewers"]) or "none named"),
        "Originals": "declared destroyed" if declared.get("originals_destroyed") else "kept, or not declared destroyed",
        "Links to identities": "kept" if declared.get("identity_links") else "none declared",
    }


def _means(document: Mapping[str, Any]) -> dict[str, str]:
    plan = document["plan"]
    thresholds = [
        f"{one['label']}: model {', '.join(one['model']) or 'says none'}, plan {one['min_score']}"
        for one in document["thresholds"]
    ]
    models = [" ".join(f"{name} {value}" for name, value in one.items()) for one in document["models"]]
    whole = {name: value for name, value in plan["whole"].items() if name != "rules"}
    return {
        "Rules": _list(plan["rules"]),
        "Rest of the plan": _code(json.dumps(whole, ensure_ascii=False)),
        "Digest of the plan": _code(plan["digest"]),
        "Models": _list(models or ["none: regions were given, or zones fixed"]),
        "Thresholds": _list(thresholds),
        "Software": _text(", ".join(f"{name} {one}" for name, one in document["software"].items())),
    }


def _file(one: Mapping[str, Any]) -> str:
    if one.get("earlier"):
        rows = {"Result": _code(one["output_sha256"]), "Hidden": "by an earlier run, of which this one knows no more"}
        return f'<section class="file"><h3>{_text(one["file"])}</h3>{_table(rows)}</section>'
    frames = f", {one['frames']} frames" if one["frames"] != 1 else ""
    rows = {
        "Format": _text(f"{one['format']}, {one['width']} x {one['height']}{frames}, {one['encoding']}"),
        "SHA-256 of the source": _code(one.get("input_sha256")),
        "SHA-256 of the result": _code(one.get("output_sha256")),
        "Check of the result": _passed(one.get("check")),
        "Standard": _passed(one.get("standard")),
        "Hidden by": _text(f"velum {one['velum']}"),
    }
    if one["warnings"]:
        rows["To be doubted"] = _list(one["warnings"])
    return f'<section class="file"><h3>{_text(one["file"])}</h3>{_counts(one)}{_table(rows)}</section>'


def _counts(one: Mapping[str, Any]) -> str:
    counts = one["hidden"]
    if not counts:
        return '<p class="bad">Nothing was found to hide.</p>'
    rows = "".join(
        f"<tr><td>{_text(row.get('label'))}</td><td>{_text(row.get('size'))}</td>"
        f'<td class="number">{_text(row["count"])}</td></tr>'
        for row in counts
    )
    head = '<tr><th>Label</th><th>Shorter side</th><th class="number">Hidden</th></tr>'
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _failed(document: Mapping[str, Any]) -> str:
    failed = document.get("failed")
    return f'<p class="bad">{_text(failed)} more failed; nothing of them was published.</p>' if failed else ""


def _passed(finding: Any) -> str:
    if not isinstance(finding, Mapping):
        return "not given"
    passed = finding.get("passed")
    says = "passed" if passed is True else "not passed" if passed is False else "does not say"
    colour = {"passed": "good", "not passed": "bad"}.get(says, "")
    return f'<span class="{colour}">{says}</span>, result {_code(finding.get("sha256"))}'


def _verdict(verdict: Verdict) -> str:
    return f'<p class="{"good" if verdict.holds else "bad"}">{_text(verdict.what)}</p>'


def _table(rows: Mapping[str, str]) -> str:
    """Return a table of names and HTML."""
    return (
        "<table>"
        + "".join(f"<tr><th>{escape(name)}</th><td>{html}</td></tr>" for name, html in rows.items())
        + "</table>"
    )


def _list(lines: Iterable[Any]) -> str:
    return "<ul>" + "".join(f"<li>{_text(line)}</li>" for line in lines) + "</ul>"


def _code(value: Any) -> str:
    return f"<code>{_text(value)}</code>"


def _text(value: Any) -> str:
    return escape(str("not known" if value is None else value))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
