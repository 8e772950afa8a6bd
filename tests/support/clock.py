"""Time that passes when it is told to, for whatever a node's parts ask the time of."""


class Clock:
    """Called, it gives `now`, in seconds."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


#: of all parts that the tests of a node build; the fixture `clock` sets it back
CLOCK = Clock()
