"""How long calls to the model server take by their rows, as a line through the last ones."""

_KEPT = 0.8
"""What is left of a call's weight when the next one has been learnt."""

_BEYOND = 16
"""So many times the rows of the largest call of late, the line is believed; further out it is flat."""


class Pace:
    """What a call of so many rows is expected to take. Knowing nothing, it expects no time at all."""

    def __init__(self) -> None:
        self._weight = self._rows = self._seconds = self._squares = self._products = 0.0
        self._start = self._slope = self._furthest = 0.0

    def learn(self, rows: int, seconds: float) -> None:
        """Take a call into account."""
        self._weight = self._weight * _KEPT + 1
        self._rows = self._rows * _KEPT + rows
        self._seconds = self._seconds * _KEPT + seconds
        self._squares = self._squares * _KEPT + rows * rows
        self._products = self._products * _KEPT + rows * seconds
        self._furthest = max(self._furthest * _KEPT, rows * _BEYOND)
        spread = self._weight * self._squares - self._rows**2
        slope = 0.0
        if spread > 1e-9 * self._squares:
            slope = (self._weight * self._products - self._rows * self._seconds) / spread
        self._slope = min(max(slope, 0.0), self._seconds / self._rows)
        self._start = (self._seconds - self._slope * self._rows) / self._weight

    def expect(self, rows: int) -> float:
        """Seconds that a call of so many rows will take."""
        return self._start + self._slope * min(rows, self._furthest)
