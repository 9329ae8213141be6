"""Topics of a sensor log, as one pass over it finds them: what their messages are, how many, and when they were logged.

They are the members of a log: the images of a topic are one sequence, and other topics are taken over as they are.
"""

from array import array
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from velum.errors import BadInput, printable
from velum.media.archive.contents import Content
from velum.media.archive.image_messages import ImagePart, find_image, image_kind
from velum.media.archive.log_messages import SMALLEST_MESSAGE, content_of_type, holds_picture, why_not_hidden
from velum.media.archive.log_video import container_of
from velum.media.image_sequence import SEQUENCE, rate_of_times

MOST_SHOWN = 1000
"""Most characters of a name that are shown. Names of topics have fewer: those of ROS 2 up to 255."""


@dataclass(slots=True)
class Topic:
    """One topic (a channel or connection): the type of its messages, and what a pass over the log has found of them.

    Its name, type and encoding are as they are shown: control characters in them are escaped.
    """

    name: str
    schema: str
    encoding: str
    """How messages are encoded: `cdr`, `ros1` or another word of the log."""
    definition: bytes = field(default=b"", repr=False)
    schema_encoding: str = ""
    messages: int = 0
    largest: int = 0
    """Bytes of the largest message."""
    times: "array[int]" = field(default_factory=lambda: array("Q"), repr=False)
    """Log times of all messages in the order of the file, for images."""
    formats: dict[str, None] = field(default_factory=dict)
    """Formats of the frames of a video, as the messages state them."""
    unread_formats: dict[str, None] = field(default_factory=dict)
    """Formats of images in which velum does not hide."""
    shows_picture: bool = False
    """Whether a message that is no image holds one."""

    def __post_init__(self) -> None:
        self.name, self.schema, self.encoding = map(shown_name, (self.name, self.schema, self.encoding))

    @property
    def is_images(self) -> bool:
        """Whether its messages are images of a type that velum reads."""
        return image_kind(self.schema, self.encoding) is not None

    @property
    def is_video(self) -> bool:
        """Whether its messages are the frames of a video."""
        return image_kind(self.schema, self.encoding) == "video"

    @property
    def rate(self) -> Fraction:
        """How many images come in a second."""
        return rate_of_times(sorted(self.times))

    def count(self, data: bytes, log_time: int) -> None:
        """Take note of a message."""
        self.messages += 1
        self.largest = max(self.largest, len(data))
        if self.is_images:
            self.times.append(log_time)
            self._note_format(data)
        elif len(data) >= SMALLEST_MESSAGE and not self.shows_picture:
            self.shows_picture = holds_picture(data)

    def find(self, data: bytes) -> ImagePart:
        """Return where the image of a message lies. Raises `BadInput`."""
        return find_image(data, self.schema, self.encoding)

    def order(self) -> list[int]:
        """Return the place of each message among all of the topic by log time, in the order of the file."""
        places = [0] * len(self.times)
        for place, number in enumerate(sorted(range(len(self.times)), key=self.times.__getitem__)):
            places[number] = place
        return places

    @property
    def content(self) -> Content:
        """What the messages are."""
        if not self.messages:
            return Content("inert")
        if not self.is_images:
            if self.shows_picture:
                return Content("refused", f"messages with pictures in them ({self.schema}, in {self.encoding})")
            return content_of_type(self.schema, self.schema_encoding, self.definition, self.encoding, self.largest)
        if self.unread_formats:
            named = ", ".join(list(self.unread_formats)[:3])
            return Content("unknown", f"images of an unknown kind, which may show people ({self.schema}, {named})")
        if len(self.formats) > 1:
            return Content("refused", f"a video of several formats ({', '.join(self.formats)})")
        return Content("media", container_of(next(iter(self.formats), "")) if self.is_video else SEQUENCE)

    @property
    def details(self) -> dict[str, Any]:
        """Facts for the report."""
        return {"messages": self.messages, "type": self.schema}

    def _note_format(self, data: bytes) -> None:
        try:
            part = self.find(data)
        except BadInput:
            return  # whoever reads the image says what is wrong with it
        reason = why_not_hidden(part)
        if part.kind == "video":
            self.formats[part.format] = None
        if reason:
            self.unread_formats[reason] = None


def shown_name(text: str) -> str:
    """Return a name of a log for reports and messages: escaped, and no longer than `MOST_SHOWN` characters."""
    text = printable(text)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def unique_names(topics: list[Topic]) -> list[str]:
    """Return a name for each topic; a further one of the same name gets a number, as `/camera#2`."""
    seen: dict[str, int] = {}
    names = []
    for topic in topics:
        seen[topic.name] = seen.get(topic.name, 0) + 1
        names.append(topic.name if seen[topic.name] == 1 else f"{topic.name}#{seen[topic.name]}")
    return names
