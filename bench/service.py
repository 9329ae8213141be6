"""The anonymization service, request to response, against an inference server that answers at once.

Service, inference server and client are processes of their own on this machine. Pictures are sent as JPEG over kept
connections, each with a patch of its own colour and objects in its own places, which every answer is checked for.
`bench.original` measures the original beside it.
"""

import argparse
import http.client
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from bench.stub import BOXES, LABEL, MARK, MASKS, ellipse
from velum import Engine, Plan
from velum.net import ANYWHERE
from velum.net.client import HttpClient
from velum.plan import Rule
from velum.plugins import RuntimeConfig
from velum.spec import PartSpec

SIZES = ((640, 768), (1024, 768), (2048, 1024), (3840, 2160))
OBJECTS = ("3 boxes", "20 boxes", "mask")
TECHNIQUES = {"blackening": "blacken", "blurring": "blur", "pixelating": "pixelate"}
ROUNDS, SECONDS, CLIENTS = 7, 60.0, 8
LOAD_SIZE, LOAD_THINGS = (1024, 768), "3 boxes"

PATCH, SHARE = 32, 0.09
SERVER = """
import sys, uvicorn
from velum.bmw.app import create_app
from velum.service.process import reuse_memory
from velum.settings import Settings
reuse_memory()
uvicorn.run(create_app(Settings.load()), port=int(sys.argv[1]), log_level="warning", access_log=False)
"""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture to send, and what must be seen in the answer. `number` gives its colour and where its objects are."""

    number: int
    size: tuple[int, int]
    objects: str
    data: bytes
    boxes: tuple[tuple[int, int, int, int], ...]

    @classmethod
    def of(cls, photo: Image.Image, number: int, size: tuple[int, int], objects: str) -> "Picture":
        """Return the photograph in that size, marked. Boxes cover 9 % of it, a mask nearly a third."""
        width, height = size
        count = 0 if objects == "mask" else int(objects.split(maxsplit=1)[0])
        chance, side = np.random.default_rng(number), int((SHARE * width * height / max(1, count)) ** 0.5)
        corners = chance.integers(3 * PATCH, (width - side, height - side), (count, 2)).tolist()
        boxes = tuple((x, y, x + side, y + side) for x, y in corners)
        told = boxes or (width, height, number % 8 - 4)
        marked = photo.resize(size)
        marked.paste(cls.colour(number), (0, 0, PATCH, PATCH))
        file = io.BytesIO()
        marked.save(file, "JPEG", quality=90, icc_profile=MARK + json.dumps(told).encode() + b"\0")
        return cls(number, size, objects, file.getvalue(), boxes)

    @staticmethod
    def colour(number: int) -> tuple[int, int, int]:
        """Return the colour of the patch: far from that of any other number below 64."""
        return 40 + 60 * (number % 4), 40 + 60 * (number // 4 % 4), 40 + 60 * (number // 16 % 4)

    def check(self, answer: bytes, technique: str) -> None:
        """Raise `AssertionError` unless the answer is this picture, with its own objects hidden."""
        with Image.open(io.BytesIO(answer)) as image:
            seen = np.asarray(image.convert("RGB")).astype(np.int16)
        assert seen.shape[1::-1] == self.size, "another size"
        patch = seen[4 : PATCH - 4, 4 : PATCH - 4].mean((0, 1))
        assert abs(patch - self.colour(self.number)).max() < 12, "another picture's colour"
        with Image.open(io.BytesIO(self.data)) as image:
            before = np.asarray(image).astype(np.int16)
        inside = np.zeros(seen.shape[:2], bool)
        for x0, y0, x1, y1 in self.boxes:
            inside[y0:y1, x0:x1] = True
        if not self.boxes:
            inside = ellipse(*self.size, self.number % 8 - 4)
        assert technique != "blackening" or seen[inside].mean() < 4, "objects that are not hidden"
        changed = abs(seen - before).max(2) > 40
        assert technique == "blackening" or changed[inside].mean() > 0.02, "objects that are not hidden"
        assert changed[~inside].mean() < 0.25, "more hidden than was there"


@dataclass(slots=True)
class Client:
    """One connection that is kept; the service closes it when it is idle for some seconds."""

    port: int
    stub: int
    boundary: str = "velum-bench-boundary"
    _connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def prepare(self) -> None:
        """Name the inference server and wait until it is known."""
        said = self._ask("POST", "/set_url", f"url=http://127.0.0.1:{self.stub}/".encode(), {
            "content-type": "application/x-www-form-urlencoded"
        })  # fmt: skip
        known = self._ask("GET", "/available_methods/")
        assert LABEL in json.loads(known), (said, known)

    def reconnect(self) -> None:
        """Open a new connection with the next request."""
        self._connection.close()

    def anonymize(self, picture: Picture, technique: str, *, jpeg: bool = False) -> bytes:
        """Return the answer. Raises `AssertionError` when it is no picture."""
        body, headers = self.body(picture, technique), {"accept": "image/jpeg"} if jpeg else {}
        kind = {"content-type": f"multipart/form-data; boundary={self.boundary}"}
        answer = self._ask("POST", "/anonymize/", body, kind | headers)
        assert answer.startswith(b"\xff\xd8" if jpeg else b"\x89PNG"), answer[:300]
        return answer

    def body(self, picture: Picture, technique: str) -> bytes:
        """Return the form of a request."""
        masks = picture.objects == "mask"
        entry = {
            "model_name": MASKS if masks else BOXES, "class_name": LABEL, "anonymization_technique": technique,
            "inference_type": "segmentation" if masks else "detection",
            "anonymization_degree": 0.1 if technique == "pixelating" else 1,
        }  # fmt: skip
        parts = {
            "image": ("a.jpg", "image/jpeg", picture.data),
            "configuration": ("c.json", "application/json", json.dumps({"sensitive_info": [entry]}).encode()),
        }
        heads = {
            name: f'--{self.boundary}\r\ncontent-disposition: form-data; name="{name}"; filename="{file}"\r\n'
            f"content-type: {kind}\r\n\r\n"
            for name, (file, kind, _) in parts.items()
        }
        body = b"".join(heads[name].encode() + content + b"\r\n" for name, (_, _, content) in parts.items())
        return body + f"--{self.boundary}--\r\n".encode()

    def _ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
        self._connection.request(method, path, body, headers or {})
        answer = self._connection.getresponse()
        data = answer.read()
        assert answer.status == 200, (answer.status, data[:300])
        return data


@contextmanager
def servers() -> Iterator[tuple[int, int, int]]:
    """Run the inference server and the service; yield the port of the service, of the other, and the service's pid."""
    with TemporaryDirectory() as folder:
        pipe, src = subprocess.PIPE, str(Path(__file__).parents[1])
        stub = subprocess.Popen([sys.executable, "-m", "bench.stub"], cwd=src, stdin=pipe, stdout=pipe, text=True)
        assert stub.stdout is not None
        ours = {
            "VELUM_REMOTE_ALLOW": "127.0.0.1", "VELUM_BMW_FOLDER": folder, "VELUM_BMW_VIDEOS": folder,
            "VELUM_BMW_LOCAL": "no",
        }  # fmt: skip
        port = _free_port()
        server = subprocess.Popen([sys.executable, "-c", SERVER, str(port)], cwd=folder, env=os.environ | ours)
        try:
            _wait(port, server)
            yield port, int(stub.stdout.readline()), server.pid
        finally:
            for process in (server, stub):
                process.terminate()
                process.wait(30)


def requests(photo: Image.Image, rounds: int) -> None:
    """Print the medians of a request for each size, kind of objects and technique, for PNG and JPEG answers."""
    print("\n| picture | hidden | technique | PNG, ms | JPEG, ms |\n" + "|---" * 5 + "|")
    with servers() as (port, stub, _):
        client = Client(port, stub)
        client.prepare()
        for size in SIZES:
            for objects in OBJECTS:
                picture = Picture.of(photo, 5, size, objects)
                for technique in TECHNIQUES:
                    png, jpeg = (_median(client, picture, technique, rounds, jpeg=jpeg) for jpeg in (False, True))
                    print(f"| {size[0]} x {size[1]} | {objects} | {technique} | {png:.1f} | {jpeg:.1f} |")


def parts(photo: Image.Image, rounds: int) -> None:
    """Print where the time goes: the stages of the engine in this process, and a whole request to the service."""
    stages = ("decode", "locate", "hide", "encode")
    print("\n| picture | hidden | " + " | ".join(stages) + " | engine, ms | request, ms |\n" + "|---" * 8 + "|")
    peers = HttpClient(ANYWHERE)
    with servers() as (port, stub, _), Engine(host=RuntimeConfig(peers=peers)) as engine:
        client = Client(port, stub)
        client.prepare()
        for size in SIZES:
            for objects in OBJECTS:
                picture, masks = Picture.of(photo, 5, size, objects), objects == "mask"
                options = {"url": f"http://127.0.0.1:{stub}/", "model": MASKS if masks else BOXES}
                find = PartSpec("bmw", options | {"kind": "segmentation" if masks else "detection"})
                plan = Plan((Rule(f"={LABEL}", find, PartSpec("blur"), grow=0),))
                runs, whole = [], []
                for _ in range(rounds + 1):
                    start = time.perf_counter()
                    _, report = engine.hide_image_bytes(picture.data, plan)
                    whole.append(1e3 * (time.perf_counter() - start))
                    runs.append([1e3 * report.seconds[stage] for stage in stages])
                figures = [statistics.median(column[1:]) for column in (*zip(*runs, strict=True), whole)]
                figures.append(_median(client, picture, "blurring", rounds, jpeg=False))
                print(f"| {size[0]} x {size[1]} | {objects} | " + " | ".join(f"{one:.1f}" for one in figures) + " |")
    peers.close()


@dataclass(slots=True)
class Caller:
    """One of several clients: what it sends in turn, what must come back, and what did."""

    client: Client
    technique: str
    pictures: list[Picture]
    expected: list[bytes] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def learn(self) -> None:
        """Ask for each picture alone, and look at the answers; later ones must be the same, byte by byte."""
        for picture in self.pictures:
            self.client.reconnect()
            self.expected.append(self.client.anonymize(picture, self.technique))
            picture.check(self.expected[-1], self.technique)
        assert len(set(self.expected)) == len(self.pictures)

    def call(self, until: float) -> None:
        """Ask again and again, over a connection that has not been idle for long."""
        self.client.reconnect()
        try:
            while (start := time.perf_counter()) < until:
                turn = len(self.took) % len(self.pictures)
                answer = self.client.anonymize(self.pictures[turn], self.technique)
                self.took.append(time.perf_counter() - start)
                if answer != self.expected[turn]:
                    self.wrong.append(f"picture {self.pictures[turn].number}")
        except (AssertionError, OSError, http.client.HTTPException) as error:
            self.wrong.append(str(error))


def load(photo: Image.Image, seconds: float) -> None:
    """Print what the service does for several clients at once, and whether any got what was not theirs."""
    with servers() as (port, stub, pid):
        Client(port, stub).prepare()
        callers = [
            Caller(
                Client(port, stub), technique, [Picture.of(photo, 4 * i + j, LOAD_SIZE, LOAD_THINGS) for j in range(4)]
            )
            for i, technique in zip(range(CLIENTS), cycle(TECHNIQUES), strict=False)
        ]
        for caller in callers:
            caller.learn()
        until = time.perf_counter() + seconds
        threads = [threading.Thread(target=caller.call, args=(until,)) for caller in callers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        peak = int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
    took = sorted(one for caller in callers for one in caller.took) or [0.0]
    wrong = [one for caller in callers for one in caller.wrong]
    p50, p99 = (1e3 * took[int(share * (len(took) - 1))] for share in (0.5, 0.99))
    print(
        f"\n{CLIENTS} clients, {LOAD_SIZE[0]} x {LOAD_SIZE[1]}, {LOAD_THINGS}, PNG, {seconds:.0f} s: "
        f"{len(took) / seconds:.1f} requests/s, p50 {p50:.0f} ms, p99 {p99:.0f} ms, peak memory {peak} MB, "
        f"wrong answers {len(wrong)} of {len(took)} {wrong[:3] or ''}"
    )


def service(photo: Path, rounds: int = ROUNDS, seconds: float = SECONDS) -> None:
    """Print all tables."""
    with Image.open(photo) as image:
        rgb = image.convert("RGB")
    requests(rgb, rounds)
    parts(rgb, rounds)
    load(rgb, seconds)


def _median(client: Client, picture: Picture, technique: str, rounds: int, *, jpeg: bool) -> float:
    client.reconnect()
    took, answers = [], []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        answers.append(client.anonymize(picture, technique, jpeg=jpeg))
        took.append(time.perf_counter() - start)
    # Afterwards: an idle connection is closed within seconds.
    picture.check(answers[0], technique)
    assert len(set(answers)) == 1
    return 1e3 * statistics.median(took[1:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(port: int, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert server.poll() is None, "the service ended"
        time.sleep(0.1)
    raise TimeoutError("the service does not listen")


def main() -> None:
    """Print all tables for the photograph that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of the run with several clients")
    given = parser.parse_args()
    service(given.photo, given.rounds, given.seconds)


if __name__ == "__main__":
    main()
