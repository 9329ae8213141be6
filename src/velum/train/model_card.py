"""The model card of a trained model, as Markdown."""

from typing import Any


def card_text(card: dict[str, Any]) -> str:
    """Return the model card as Markdown."""
    base = card["base"]
    difference = card["largest_difference_of_files"]
    compared = "torch, ONNX and OpenVINO IR" if card["compared_with_torch"] else "ONNX and OpenVINO IR"
    opening = (
        f"A network of family {base['family']} that finds {', '.join(card['labels'])}, trained with velum "
        f"{card['velum']} on {card['made']}."
    )
    inherited = (
        f"- Base: {base['name']}, sha256 {base['sha256']}, licence {base['licence']}. What was trained from it is "
        "under the same licence, together with the terms of the pictures."
    )
    counts = (
        f"- Trained with {card['trained_on']['pictures']} pictures, measured on {card['held_out']['pictures']} of "
        "other groups; their hashes are in card.json."
    )
    best = "IoU" if card["masks"] else "F2"
    pixels = " of the pixels" if card["masks"] else ""
    outcome = "reached." if card["recall_reached"] else f"NOT reached; the threshold is the one of the highest {best}."
    lines = [
        f"# {card['name']}", "",
        opening, "", inherited,
        *([f"- {base['copyright']}"] if base["copyright"] else []),
        counts,
        f"- Seed {card['seed']}, {card['steps']} steps of {card['batch']} crops of {card['side']} pixels.",
        f"- Threshold {card['threshold']:g}, chosen for a recall of {card['wanted_recall']:.0%}{pixels}: {outcome}",
        f"- {compared} differ by at most {difference:.1g}.", "",
        *_measure_lines(card), "",
        "Shares with their 95 % intervals, on the held-out pictures.", "",
        *(f"- {note}" for note in card["notes"]), "",
        "| file | sha256 |", "|---|---|", *(f"| {name} | {sha256} |" for name, sha256 in card["files"].items()), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _measure_lines(card: dict[str, Any]) -> list[str]:
    """Return what was measured: a table of shares by height, the precision by label, and the masks."""
    rows = [
        f"| {row['label']} | {row['kind']} | {_share_text(row['found'])} | {_share_text(row['hidden_50'])} |"
        for row in card["by_size"]
    ]
    right = [f"- {label}: {_share_text(rate)} of the detections are right" for label, rate in card["precision"].items()]
    masks = [
        f"- {label}: IoU of the masks {measures['iou']:.2f} ({measures['iou_interval'][0]:.2f} to "
        f"{measures['iou_interval'][1]:.2f}), {measures['recall']:.1%} of the pixels found; the highest IoU is "
        f"{measures['best_iou']:.2f}, from {measures['best_level']:g}"
        for label, measures in (card["masks"] or {}).items()
    ]
    return ["| label | height | found | hidden by half |", "|---|---|--:|--:|", *rows, "", *right, *masks]


def _share_text(rate: dict[str, Any]) -> str:
    if rate["share"] is None:
        return "none"
    low, high = rate["interval"]
    return f"{rate['hits']} of {rate['total']}, {rate['share']:.1%} ({low * 100:.0f} to {high * 100:.0f})"
