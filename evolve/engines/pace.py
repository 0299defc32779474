"""How many requests a server gets at once: as many as are of use, fewer while it is busy, none while it is away.

Nothing here waits or reads a clock: `now` and `began` are seconds of one clock, whichever it is.
"""

from __future__ import annotations

FEWEST = 32
"""So many answers at the least tell how fast a server is."""
WORTH_SECONDS = 1.0
"""Answers that take less gain nothing by fewer requests at once: no kill costs more than that."""
STEP, GAIN, LOSS, OTHER = 1.5, 1.2, 0.85, 1.5
"""A trial changes the number by STEP. More are kept for GAIN times the answers a second, fewer for LOSS times.
A server that answers OTHER times as many as it did, or as few, is looked at anew."""
FIRST_WAIT, LONGEST_WAIT = 4, 64
"""Turns between two trials: at first, and after many that changed nothing."""
FIRST_LEFT, LONGEST_LEFT = 1.0, 30.0
"""Seconds for which a server that is away is left alone."""


class Climb:
    """Looks for the smallest number of requests at once with which a server answers as many a second as with `most`.

    With n requests under way that take w seconds each a server answers n / w a second. Where fewer requests take less
    time in proportion, the rest only waited. So the number is tried smaller, and kept so if as many answers come; tried
    larger, and kept so if more come; what changes nothing is tried less and less often. Nothing is tried downwards
    while answers take less than `worth` seconds.
    """

    def __init__(self, most: int, worth: float = WORTH_SECONDS) -> None:
        self.number, self._most, self._worth = most, most, worth
        self._before: tuple[int, float] | None = None
        self._usual, self._down = 0.0, True
        self._wait = self._left = FIRST_WAIT
        self._count, self._seconds, self._skip = 0, 0.0, 0

    def answered(self, seconds: float, full: bool) -> None:
        """An answer has come after `seconds`; `full` where as many requests were under way as are allowed."""
        if not full:
            self._count, self._seconds = 0, 0.0
        elif self._skip:
            self._skip -= 1
        else:
            self._count += 1
            self._seconds += seconds
            if self._count >= max(FEWEST, self.number):
                mean = self._seconds / self._count
                self._count, self._seconds = 0, 0.0
                if mean:
                    self._look(self.number / mean, mean)

    def _look(self, rate: float, seconds: float) -> None:
        """After a turn in which `rate` answers came a second, each after so many `seconds`."""
        if self._before:
            number, before = self._before
            self._before = None
            if rate >= (LOSS if self.number < number else GAIN) * before:
                self._left, self._usual = 1, rate
                return
            self._down = not self._down
            self._left = self._wait = min(2 * self._wait, LONGEST_WAIT)
            self._set(number)
            return
        if self._usual and not self._usual / OTHER < rate < self._usual * OTHER:
            self._down, self._wait, self._left = rate < self._usual, FIRST_WAIT, 1
        self._usual = rate
        self._left -= 1
        if self._left <= 0:
            self._try(rate, seconds)

    def _try(self, rate: float, seconds: float) -> None:
        less, more = self.number > 1 and seconds > self._worth, self.number < self._most
        if not (less or more):
            return
        self._down = less and (self._down or not more)
        number = self.number
        self._before = number, rate
        if self._down:
            self._set(min(number - 1, round(number / STEP)))
        else:
            self._set(min(self._most, max(number + 1, round(number * STEP))))

    def _set(self, number: int) -> None:
        # what is under way now began under another number
        self._skip, self.number = max(self.number, number), number


class Pace:
    """How many requests one server gets at once: `most`, less while that is of use.

    Each answer that says the server is busy halves the number, once for all requests that were under way then; every
    good one lets it grow, by one for as many answers as there are requests at once. See Climb for latency.
    """

    def __init__(self, most: int, worth: float = WORTH_SECONDS) -> None:
        self.under_way, self.begun, self.closed_until = 0, 0, 0.0
        self._most, self._unasked, self._slowed = most, float(most), 0.0
        self._climb = Climb(most, worth)
        self._failed, self._left, self._left_until = 0, 0.0, 0.0

    @property
    def allowed(self) -> int:
        """How many requests may be under way."""
        return max(1, min(int(self._unasked), self._climb.number))

    def begin(self) -> None:
        """One request more is under way."""
        self.under_way += 1
        self.begun += 1

    def is_open(self, now: float) -> bool:
        """Whether one more may begin."""
        return now >= self.closed_until and self.under_way < self.allowed

    def is_away(self, now: float) -> bool:
        """Whether others are to be asked, if there are any. After a while one request finds out."""
        return self._failed > 0 and (now < self._left_until or self.under_way > 0)

    @property
    def reopens(self) -> float:
        """The moment at which it may be asked again, if it is left alone now."""
        return max(self.closed_until, self._left_until)

    def was_good(self, began: float, now: float) -> None:
        """The server has answered a request that `began` then."""
        self._failed, self._left_until = 0, 0.0
        is_full = self.under_way >= self.allowed and self._climb.number <= self._unasked
        self._climb.answered(now - began, is_full)
        self._unasked = min(self._most, self._unasked + 1 / self._unasked)

    def was_busy(self, began: float, now: float, pause: float | None) -> None:
        """The server has said to a request that `began` then that it is busy, and for how long, if it did."""
        if pause:
            self.closed_until = max(self.closed_until, now + pause)
        if began > self._slowed:
            self._unasked = max(1.0, min(self._unasked, self._climb.number) / 2)
            self._slowed = now

    def was_away(self, began: float, now: float) -> None:
        """The server has not answered a request that `began` then. Counts once for all that were under way."""
        if began >= self._left:
            self._left_until = now + min(LONGEST_LEFT, FIRST_LEFT * 2**self._failed)
            self._failed, self._left = self._failed + 1, now
