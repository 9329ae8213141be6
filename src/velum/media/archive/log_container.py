"""What all sensor logs have in common: topics are members, the images of a topic are unpacked as one sequence."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from velum.atomic import folder_next_to
from velum.errors import BadInput, BadPlan, OutputFailed
from velum.media.archive.image_messages import ImagePart, splice
from velum.media.archive.log_topics import Topic, unique_names
from velum.media.archive.log_video import CODECS, codec_of, read_frames, write_video
from velum.media.archive.member import Budget, Member
from velum.media.sequence_file import SequenceBuilder, SequenceFile


class LogContainer(ABC):
    """A sensor log that is read, for a `with` block. Raises `BadInput` for a damaged one, and `LimitExceeded`.

    With `recover`, a log that is cut off is read up to there.
    """

    has_text = False

    def __init__(self, path: Path, budget: Budget, name: str, *, recover: bool = False) -> None:
        """Open `path`; messages call it `name`. The unpacked bytes count against `budget`."""
        self._path, self._budget, self._name, self._recover = path, budget, name, recover
        self._stack = ExitStack()
        self._members: list[Member] = []
        self._topic_numbers: dict[int, int] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            try:
                self._open(stack)
            except BadInput as error:
                raise BadInput(f"cannot read {self._name}: {error}") from error
            topics = self.topics
            for (number, topic), name in zip(topics.items(), unique_names(list(topics.values())), strict=True):
                self._topic_numbers[len(self._members)] = number
                self._members.append(Member(name, 0, len(self._members), content=topic.content, details=topic.details))
            self._members += self._other_members(len(self._members))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    @abstractmethod
    def topics(self) -> Mapping[int, Topic]:
        """All topics, by the number that the log gives them."""

    @property
    @abstractmethod
    def leftovers(self) -> tuple[str, ...]:
        """What the log holds that velum does not know, in words; a result has none of it."""

    @abstractmethod
    def messages(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield the number of the topic, log time and data of each message, in the order of the log."""

    @abstractmethod
    def writer(self, target: Path, metadata: frozenset[str]) -> "LogWriter":
        """Return a writer of a log like this one to `target`."""

    @abstractmethod
    def _open(self, stack: ExitStack) -> None:
        """Open the log and go through it once. Raises `BadInput`."""

    def _other_members(self, first: int) -> list[Member]:  # noqa: ARG002 - for logs that have others
        """Return the members that are no topics, numbered from `first` on."""
        return []

    def _unpack_other(self, member: Member, target: Path) -> None:  # noqa: ARG002 - likewise
        """Write the bytes of a member that is no topic."""
        raise BadInput(f"{member.name} is no topic")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all members, in their order."""
        return tuple(member.name for member in self._members)

    def members(self) -> Iterator[Member]:
        """Yield all topics, and then the other members."""
        yield from self._members

    def topic_number(self, member: Member) -> int | None:
        """Return the number of a member's topic; None for a member that is no topic."""
        return self._topic_numbers.get(member.number)

    def unpack(self, member: Member, target: Path) -> None:
        """Write the images of a topic as a sequence, or the bytes of another member. Raises `BadInput`."""
        topic_number = self.topic_number(member)
        if topic_number is None:
            self._unpack_other(member, target)
            return
        topic = self.topics[topic_number]
        # Closed here also after an error, while the log is still open.
        with closing(self._images_of(topic, topic_number)) as images:
            if topic.is_video:
                frames = (part.image(data) for _, data, part in images)
                write_video(target, next(iter(topic.formats)), topic.rate, frames, self._budget.limits)
                return
            with SequenceBuilder(target) as sequence:
                for time, data, part in images:
                    sequence.add(time, part.image(data), part.layout)

    def _images_of(self, topic: Topic, topic_number: int) -> Generator[tuple[int, bytes, ImagePart]]:
        """Yield log time, bytes and image of each message of a topic. Raises `BadInput`."""
        number = 0
        for message_topic, time, data in self.messages():
            if message_topic != topic_number:
                continue
            number += 1
            try:
                part = topic.find(data)
            except BadInput as error:
                raise BadInput(f"message {number}, logged at {time} ns, cannot be read: {error}") from error
            yield time, data, part


@dataclass(slots=True)
class NewImages:
    """The images of a topic that take the place of those of the source, in the order of its messages."""

    topic: Topic
    images: Iterator[bytes]

    def message(self, data: bytes) -> bytes:
        """Return the next message of the topic, with its new image."""
        part = self.topic.find(data)
        image = next(self.images, None)
        if image is None:
            raise self._other_number("fewer")
        return splice(data, part, image)

    def finish(self) -> None:
        """Raise `OutputFailed` where there are more images than messages."""
        if next(self.images, None) is not None:
            raise self._other_number("more")

    def _other_number(self, words: str) -> OutputFailed:
        return OutputFailed(
            f"cannot hide in {self.topic.name}: its video has {words} frames than the topic has messages; nothing was "
            "published"
        )


class LogWriter(ABC):
    """Writes a log like the one that is read, in a `with` block; leaving it writes all.

    Members that it was not given are left out, and with them what nothing else uses.
    """

    def __init__(self, source: LogContainer, target: Path) -> None:
        self._log, self._target = source, target
        self._stack = ExitStack()
        self._kept: set[int] = set()
        """Numbers of the members that the result has."""
        self._files: dict[int, Path] = {}
        """Files with the new bytes of members, by their numbers."""
        self._topics: set[int] = set()
        """Numbers of the topics that the result has."""
        self._new_images: dict[int, NewImages] = {}
        """By the number of the topic."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._folder = stack.enter_context(folder_next_to(self._target))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if error is None:
                self._open_images()
                self._write()
                for new in self._new_images.values():
                    new.finish()

    def copy(self, member: Member, file: Path) -> None:  # noqa: ARG002 - other containers need it
        """Write a member as it is."""
        self._kept.add(member.number)

    def replace(self, member: Member, file: Path, *, hidden: bool) -> None:  # noqa: ARG002 - PDFs need it
        """Write a member with the images of a sequence, or with the bytes of `file`, which is moved."""
        self._kept.add(member.number)
        self._files[member.number] = file.rename(self._folder / str(member.number))

    @abstractmethod
    def _write(self) -> None:
        """Write the whole log."""

    def _message(self, topic: int, data: bytes) -> bytes:
        """Return the next message of a topic as the result has it."""
        new = self._new_images.get(topic)
        return data if new is None else new.message(data)

    def _open_images(self) -> None:
        for member in self._log.members():
            number = self._log.topic_number(member)
            if number is None or member.number not in self._kept:
                continue
            self._topics.add(number)
            if member.number in self._files:
                topic = self._log.topics[number]
                self._new_images[number] = NewImages(topic, self._images(topic, self._files[member.number]))

    def _images(self, topic: Topic, file: Path) -> Iterator[bytes]:
        """Return the images of a file in the order of the topic's messages."""
        if topic.is_video:
            wanted, codec = next(iter(topic.formats)), codec_of(file)
            if codec != CODECS[wanted]:
                raise BadPlan(f"cannot write {topic.name}: its messages are {wanted}, and the result would be {codec}")
            return read_frames(file)
        images = self._stack.enter_context(SequenceFile(file))
        return map(images.image, topic.order())
