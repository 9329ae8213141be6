"""All figures of docs/benchmarks.md, on this machine: `make bench`."""

import os
import platform
import sys
from pathlib import Path

from bench import accuracy, exposure, jpeg, leaks, models, page, photos, service, strength, video
from velum.locate.registry import sample
from velum.locate.weights import fetch
from velum.plugins import RuntimeConfig

MEDIA = Path(__file__).parents[2] / "shared" / "media"


def hardware() -> str:
    """Return the processor and the number of cores."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def main() -> None:
    """Print every table."""
    print(f"# {hardware()}")
    photo = fetch.ensure_local(sample("portrait"), RuntimeConfig())
    if (MEDIA / "ground_truth.json").is_file():
        photo = MEDIA / "faces" / "group_19_large.jpg"
        sys.argv[1:] = ["--media", str(MEDIA), "--rounds", "0"]
        accuracy.main()
    else:
        print("- no labelled pictures in ../shared/media: no recall is measured")
    photos.photos(photo)
    jpeg.main(photo, MEDIA if (MEDIA / "ground_truth.json").is_file() else None)
    service.service(photo)
    if Path(page.CHROMIUM).exists():
        page.main()
    else:
        print(f"- no browser at {page.CHROMIUM}: the page is not measured")
    if (MEDIA / "ground_truth.json").is_file():
        for table, folders in (
            (models, ["--models", str(MEDIA.with_name("models"))]),
            (exposure, []),
            (strength, []),
            (video, []),
            (leaks, []),
        ):
            sys.argv[1:] = ["--media", str(MEDIA), *folders]
            print()
            table.main()


if __name__ == "__main__":
    main()
