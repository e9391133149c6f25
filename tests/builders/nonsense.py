"""What is hidden in files by those who mean harm, and by accident: calls, and values of any kind."""

from collections.abc import Callable

from hypothesis import strategies as st


class Call:
    """Pickles as a call of ``function(*args)``, which reading carelessly would make."""

    def __init__(self, function: Callable, *args) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple:
        return self.call


def nonsense(*more: object) -> st.SearchStrategy:
    """Draw what JSON and pickles can hold, one in another, and some of the values given."""
    plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    return st.recursive(
        plain | st.sampled_from([10**400, *more]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=4,
    )
