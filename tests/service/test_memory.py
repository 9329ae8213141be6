"""Memory of a process of the service: that of one image is used for the next."""

import platform
import subprocess
import sys

import pytest

PAGES_OF_EACH = 8192  # of 4 KiB in 32 MiB, more than glibc keeps by itself once larger blocks were freed

SCRIPT = """
import resource, sys
import numpy as np
from velum.service.process import reuse_memory

if sys.argv[1] == "reuse":
    reuse_memory()
np.ones(1 << 25, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(1 << 25, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_memory_of_an_image_is_used_for_the_next() -> None:
    def new_pages(word: str) -> int:
        done = subprocess.run([sys.executable, "-c", SCRIPT, word], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert new_pages("reuse") < PAGES_OF_EACH / 10
    assert new_pages("as it is") > PAGES_OF_EACH / 10
