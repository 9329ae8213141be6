"""Evidence as an HTML page: no script, nothing loaded, no images."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from velum import html_page
from velum.evidence.verify import Verdict

_STYLE = """
th.name { width: 11rem; } th.number, td.number { text-align: right; width: 6rem; }
.anonymised { color: #11632f; } .pseudonymised { color: #8a4b00; }
section.file { margin: 1rem 0; padding: .8rem 1rem; border: 1px solid #d5dae0; border-radius: .4rem; }
footer { margin-top: 2rem; color: #57606a; font-size: .85rem; }
@media print { section.file { break-inside: avoid; } }
"""

_FOOTER = """<footer>Made by velum from the JSON file, which alone is signed and counts:
verify a file with <code>velum evidence verify</code>.</footer>"""


def render_page(document: Mapping[str, Any], verdicts: Sequence[Verdict]) -> str:
    """Return the HTML page of evidence from `load`, with the results of `verify`."""
    standing, files = str(document.get("standing")), document["files"]
    kind = f"{len(files)} files" if document.get("kind") == "batch" else "one file"
    parts = [
        f"<h1>Evidence of {kind}</h1>",
        f'<p class="standing {escape(standing)}">{escape(standing)}</p>',
        html_page.bullet_list(
            document["because"]
            or ["originals and links to identities are declared destroyed; all that was hidden is destroyed"]
        ),
        "<h2>Signature</h2>",
        "".join(_verdict_line(verdict) for verdict in verdicts),
        html_page.table(_signature_rows(document)),
        "<h2>How it was hidden</h2>",
        html_page.table(_method_rows(document)),
        f"<h2>Files</h2>{_failure_note(document)}",
        *map(_file_section, files),
        _FOOTER,
    ]
    return html_page.document(f"Evidence: {kind}", _STYLE, parts)


def _signature_rows(document: Mapping[str, Any]) -> dict[str, str]:
    signature = _mapping(document.get("signature"))
    declared = document["declared"]
    return {
        "Made": html_page.text(document.get("made")),
        "Key": html_page.code(signature.get("public_key", "none")),
        "Reviewers": html_page.text(", ".join(document["reviewers"]) or "none named"),
        "Originals": "declared destroyed" if declared.get("originals_destroyed") else "kept, or not declared destroyed",
        "Links to identities": "kept" if declared.get("identity_links") else "none declared",
    }


def _method_rows(document: Mapping[str, Any]) -> dict[str, str]:
    plan = document["plan"]
    thresholds = [
        f"{entry['label']}: model {', '.join(entry['model']) or 'says none'}, plan {entry['min_score']}"
        for entry in document["thresholds"]
    ]
    models = [" ".join(f"{name} {value}" for name, value in entry.items()) for entry in document["models"]]
    whole = {name: value for name, value in plan["whole"].items() if name != "rules"}
    return {
        "Rules": html_page.bullet_list(plan["rules"]),
        "Rest of the plan": html_page.code(json.dumps(whole, ensure_ascii=False)),
        "Digest of the plan": html_page.code(plan["digest"]),
        "Models": html_page.bullet_list(models or ["none: regions were given, or zones fixed"]),
        "Thresholds": html_page.bullet_list(thresholds),
        "Software": html_page.text(", ".join(f"{name} {entry}" for name, entry in document["software"].items())),
    }


def _file_section(entry: Mapping[str, Any]) -> str:
    if entry.get("earlier"):
        rows = {
            "Result": html_page.code(entry["output_sha256"]),
            "Hidden": "by an earlier run; no more is known here",
        }
        return f'<section class="file"><h3>{html_page.text(entry["file"])}</h3>{html_page.table(rows)}</section>'
    frames = f", {entry['frames']} frames" if entry["frames"] != 1 else ""
    rows = {
        "Format": html_page.text(
            f"{entry['format']}, {entry['width']} x {entry['height']}{frames}, {entry['encoding']}"
        ),
        "SHA-256 of the source": html_page.code(entry.get("input_sha256")),
        "SHA-256 of the result": html_page.code(entry.get("output_sha256")),
        "Check of the result": _result_cell(entry.get("check")),
        "Standard": _result_cell(entry.get("standard")),
        "Hidden by": html_page.text(f"velum {entry['velum']}"),
    }
    if entry["warnings"]:
        rows["Warnings"] = html_page.bullet_list(entry["warnings"])
    head = f"<h3>{html_page.text(entry['file'])}</h3>"
    return f'<section class="file">{head}{_counts_table(entry)}{html_page.table(rows)}</section>'


def _counts_table(entry: Mapping[str, Any]) -> str:
    counts = entry["hidden"]
    if not counts:
        return '<p class="bad">Nothing was found to hide.</p>'
    rows = "".join(
        f"<tr><td>{html_page.text(row.get('label'))}</td><td>{html_page.text(row.get('size'))}</td>"
        f'<td class="number">{html_page.text(row["count"])}</td></tr>'
        for row in counts
    )
    head = '<tr><th>Label</th><th>Shorter side</th><th class="number">Hidden</th></tr>'
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _failure_note(document: Mapping[str, Any]) -> str:
    failed = document.get("failed")
    return f'<p class="bad">{html_page.text(failed)} more failed; no result of them was written.</p>' if failed else ""


def _result_cell(finding: Any) -> str:
    if not isinstance(finding, Mapping):
        return "not given"
    passed = finding.get("passed")
    says = "passed" if passed is True else "not passed" if passed is False else "does not say"
    colour = {"passed": "good", "not passed": "bad"}.get(says, "")
    return f'<span class="{colour}">{says}</span>, result {html_page.code(finding.get("sha256"))}'


def _verdict_line(verdict: Verdict) -> str:
    holds, message = verdict
    return f'<p class="{"good" if holds else "bad"}">{html_page.text(message)}</p>'


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
