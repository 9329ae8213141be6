"""Pictures that are alike never lie in both parts."""

from pathlib import Path

import cv2
import pytest
from tests.train.factories import Xywh, checked, coco, discs

from velum.errors import BadInput, BadPlan
from velum.train.split import Split, split

DISC: tuple[str, Xywh] = ("disc", (10, 20, 30, 40))


def names(part: Split) -> tuple[set[str], set[str]]:
    return {picture.name for picture in part.train}, {picture.name for picture in part.held_out}


def test_a_fifth_is_held_out_and_a_seed_gives_the_same(tmp_path: Path) -> None:
    found = checked(coco(tmp_path, discs(20)))
    train, held = names(split(found, 1))
    assert (len(train), len(held)) == (16, 4)
    assert not train & held
    assert names(split(found, 1)) == (train, held)
    assert names(split(found, 2)) != (train, held)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("clip{}_{:06}.png", None),  # frames that the page exports
        ("day{}/{}.png", None),  # folders
        ("drive{}-{}.png", r"^(drive\d+)"),
    ],
)
def test_groups_stay_together(tmp_path: Path, name: str, pattern: str | None) -> None:
    pictures = {name.format(group, i): [box] for group in range(5) for i, (box,) in enumerate(discs(4).values())}
    found = checked(coco(tmp_path, pictures))
    parts = split(found, 3, pattern)
    train, held = names(parts)
    assert (len(train), len(held), parts.groups) == (16, 4, (4, 1))
    assert len({name.removesuffix(".png")[:5] for name in held}) == 1


def test_near_duplicates_stay_together(tmp_path: Path) -> None:
    path = coco(tmp_path, discs(10))
    for number in range(5, 10):  # each of the later ones is an earlier one, brighter, and some are mirrored
        rgb = cv2.imread(str(tmp_path / f"p{number - 5}.png"))
        assert rgb is not None
        turned = rgb[:, :: -1 if number % 2 else 1].copy()
        cv2.imwrite(str(tmp_path / f"p{number}.png"), cv2.convertScaleAbs(turned, alpha=1.1, beta=5))
    found = checked(path)
    for seed in range(8):
        train, held = names(split(found, seed))
        assert {f"p{(int(name[1]) + 5) % 10}.png" for name in held} == held
        assert train


def test_pictures_of_a_single_video_are_refused(tmp_path: Path) -> None:
    path = coco(tmp_path, {f"clip_{i:06}.png": [DISC] for i in range(6)})
    with pytest.raises(BadInput, match="all 6 pictures belong together"):
        split(checked(path), 0)


def test_a_label_with_all_examples_in_one_group_is_refused(tmp_path: Path) -> None:
    pictures = {name: list(objects) for name, objects in discs(8).items()}
    pictures["p3.png"].append(("star", (100, 70, 20, 20)))
    found = checked(coco(tmp_path, pictures, labels=("disc", "star")))
    with pytest.raises(BadInput, match=r"all examples of star are in 1 picture that belong together \(p3.png\)"):
        split(found, 0)


def test_every_label_is_in_both_parts(tmp_path: Path) -> None:
    pictures = {name: list(objects) for name, objects in discs(20).items()}
    for name in ("p3.png", "p4.png"):
        pictures[name].append(("star", (100, 70, 20, 20)))
    found = checked(coco(tmp_path, pictures, labels=("disc", "star")))
    for seed in range(6):
        parts = split(found, seed)
        for part in (parts.train, parts.held_out):
            assert {box.label for picture in part for box in picture.objects} == {"disc", "star"}


def test_an_invalid_group_pattern_is_refused(tmp_path: Path) -> None:
    found = checked(coco(tmp_path, discs(4)))
    with pytest.raises(BadPlan, match="--group '\\(' is no regular expression"):
        split(found, 0, "(")
