"""How often somebody may call: a rate such as `100/s`, and how many of these may come at once."""

import re
from dataclasses import dataclass

from sepal.errors import ConfigurationError
from sepal.settings.kinds import RATE

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Rate:
    """`amount` requests in `seconds`: so many may come at once, and on average no more than that."""

    amount: int
    seconds: int

    @classmethod
    def parse(cls, text: str, burst: int = 0) -> "Rate | None":
        """A rate from its text; None for `none`. A burst widens or narrows the window, the rate stays.

        100/s is 100 in a second; with a burst of 500 it is 500 in 5 seconds. 1000/h with a burst
        of 10 is 10 in 36 seconds. A window has whole seconds, at least one, so that a burst is
        rounded up to what the rate lets in during these. ConfigurationError if the text is no rate.
        """
        found = re.fullmatch(RATE, text)
        if found is None:
            raise ConfigurationError(f"{text!r} is no rate. Write it like 100/s, 1000/m, 5000/h or none.")
        if text == "none":
            return None
        amount, unit = int(found[1]), _SECONDS[found[2]]
        if not burst:
            return cls(amount, unit)
        seconds = -(-burst * unit // amount)  # rounded up
        return cls(max(burst, amount * seconds // unit), seconds)

    def __str__(self) -> str:
        each = "a second" if self.seconds == 1 else f"in {self.seconds:,} seconds"
        return f"{self.amount:,} requests {each}"
