"""The people of a plan, as text, TOML and JSON."""

import json
from pathlib import Path
from typing import Any

import pytest

from velum.errors import BadPlan
from velum.people import People, Person, PersonPhoto
from velum.plan import Plan

SHA = "ab" * 32


def test_names_with_photos_are_parsed() -> None:
    people = People.parse("keep", ["Anna = a b.jpg", "Ben=b.jpg", "Anna= c=d.jpg"])
    assert [(person.name, [photo.path for photo in person.photos]) for person in people.persons] == [
        ("Anna", [" a b.jpg", " c=d.jpg"]), ("Ben", ["b.jpg"]),
    ]  # fmt: skip


@pytest.mark.parametrize("mode", ["keep", "only"])
@pytest.mark.parametrize("sha256", [None, SHA])
def test_a_plan_with_people_round_trips(mode: Any, sha256: str | None) -> None:
    people = People(mode, (Person('Änna "A"', (PersonPhoto("a.jpg", sha256), PersonPhoto("b.jpg"))),))
    plan = Plan(people=people)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert Plan.from_toml(plan.to_toml()) == plan


def test_people_are_read_from_toml() -> None:
    plan = Plan.from_toml('[people]\nkeep = { Anna = "a.jpg", Ben = ["b.jpg", "c.jpg"] }\n')
    assert plan.people == People(
        "keep", (Person("Anna", (PersonPhoto("a.jpg"),)), Person("Ben", (PersonPhoto("b.jpg"), PersonPhoto("c.jpg"))))
    )


def test_the_digest_depends_on_the_content_of_photos_and_not_on_their_paths() -> None:
    def digest(path: str, sha256: str | None) -> str:
        return Plan(people=People("keep", (Person("Anna", (PersonPhoto(path, sha256),)),))).digest

    assert digest("a.jpg", SHA) == digest("elsewhere/a.jpg", SHA)
    assert digest("a.jpg", SHA) != digest("a.jpg", "cd" * 32)
    assert digest("a.jpg", None) != digest("b.jpg", None)


def test_the_digest_of_a_plan_without_people_has_not_changed() -> None:
    assert "people" not in Plan().to_json()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("anna", "people are 'anna'; they must be an object"),
        ({}, "people need either keep or only"),
        ({"keep": {"A": "a.jpg"}, "only": {"B": "b.jpg"}}, "people need either keep or only"),
        ({"keep": {}}, "people.keep names nobody"),
        ({"keep": ["a.jpg"]}, "people.keep is .*; it must have a photo"),
        ({"keep": {"A": []}}, "person A has no photo"),
        ({"keep": {"A": 5}}, "photos of person 'A' are 5"),
        ({"keep": {"": "a.jpg"}}, "name '' of a person"),
        ({"keep": {"A": [{"path": "a.jpg", "sha256": "x"}]}}, "sha256 of photo a.jpg is 'x'"),
        ({"keep": {"A": [{"sha256": SHA}]}}, "photo '' of a person is not the path"),
        ({"keep": {"A": "a.jpg"}, "hide": 1}, "hide"),
    ],
)
def test_wrong_people_are_refused(value: Any, message: str) -> None:
    with pytest.raises(BadPlan, match=message):
        Plan.from_json({"people": value})


@pytest.mark.parametrize("text", ["anna.jpg", "=a.jpg", "Anna="])
def test_a_person_needs_a_name_and_a_photo(text: str) -> None:
    with pytest.raises(BadPlan, match=r"write NAME=photo.jpg"):
        People.parse("keep", [text])


def test_hashes_of_photos_are_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    people = People.parse("keep", [f"A={tmp_path / 'a.jpg'}"]).with_hashes()
    assert people.persons[0].photos[0].sha256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert people.with_hashes() == people
