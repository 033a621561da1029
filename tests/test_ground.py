"""The ground: the three packages come from this checkout."""

from pathlib import Path

import distill
import proxy
import storage


def test_the_packages_come_from_this_checkout() -> None:
    root = Path(__file__).parent.parent
    for package in (proxy, distill, storage):
        assert Path(str(package.__file__)).parent.parent == root
