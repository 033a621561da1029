"""Where pages of lists ended."""

from proxy.stored.places import Ended, Places


def test_the_oldest_end_is_forgotten_first() -> None:
    places = Places(most=2)
    first, second, third = (Ended("alice", "default", name) for name in "abc")
    places.keep(first, 1)
    places.keep(second, 2)
    places.keep(first, 4)  # shown again
    places.keep(third, 3)
    assert [4, None, 3] == [places.seq(it) for it in (first, second, third)]


def test_each_caller_has_ends_of_its_own() -> None:
    places = Places()
    places.keep(Ended("alice", "default", "a"), 1)
    assert places.seq(Ended("bob", "default", "a")) is None
    assert places.seq(Ended("alice", "other", "a")) is None
