"""SIGTERM and SIGINT, from a command's first line to its last: what they ask for, and how a process ends at once.

Under a command (`own_process`) the signals are counted in a thread of their own, which C code that keeps the main
thread busy does not hold up and which no library's handler replaces. Elsewhere, as in a notebook, a run takes them for
its own time (`StopRequest.listening`) and gives them back.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, NoReturn

from ray_jobs.errors import Stopped

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ENDED_AT_ONCE = 130
"""The exit code after a second signal."""
ONCE_SECONDS = 0.2
"""Signals closer together are one: a wrapper passes on what the terminal has sent already."""
ACT_SECONDS = 20.0

Act = Callable[[], None]


class StopRequest:
    """Set by SIGINT or SIGTERM; a second one ends the process at once. `why` is what to raise in the end.

    `in_flight` is how many rows are under way, as far as somebody knows and says it here.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self.why: Stopped | None = None
        self.in_flight = 0

    def ask(self, why: Stopped) -> None:
        """Ask for a stop, unless one is asked for already."""
        self.why = self.why or why

    @contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Take the two signals while the context lasts; a run that was asked in it ends by raising `why`.

        Only the main thread may, in a process that is not a command's.
        """
        outer, _state.request = _state.request, self
        before = {} if _state.owned else {item: signal.signal(item, self._interrupt) for item in SIGNALS}
        try:
            yield self
            self.check()
        finally:
            _state.request = outer
            for item, handler in before.items():
                signal.signal(item, handler)

    def check(self) -> None:
        """Raise `why` once a stop is asked for."""
        if self.why:
            raise self.why

    def take(self, number: int) -> bool:
        """A signal has come. Whether it is the first."""
        if self.name is not None:
            return False
        self.name = signal.Signals(number).name
        doing = f"finishing {self.in_flight:,} rows" if self.in_flight else "nothing is in flight, ending"
        _tell(f"{self.name}: {doing}; again to stop now")
        self.ask(Stopped(f"stopped by {self.name}; what was finished is committed, and the same command goes on"))
        return True

    def _interrupt(self, number: int, _: FrameType | None) -> None:
        if not self.take(number):
            raise KeyboardInterrupt


@dataclass
class _State:
    """What the process knows of its signals."""

    owned: bool = False
    request: StopRequest | None = None
    interruptible: bool = False
    acts: list[Act] = field(default_factory=list)
    leaving: Act = lambda: None
    ending: Any = field(default_factory=threading.Lock)


_state = _State()


class Counter:
    """Counts what was asked for by signals that come in several ways: as often as in the way that had the most."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._last: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, way: str, now: float) -> bool:
        """A signal came by this way at `now` (monotonic seconds). Whether it asks for something new."""
        with self._lock:
            before = max(self._counts.values(), default=0)
            if now - self._last.get(way, -ONCE_SECONDS) >= ONCE_SECONDS:
                self._counts[way] = self._counts.get(way, 0) + 1
            self._last[way] = now
            return max(self._counts.values(), default=0) > before


def own_process(forwarded: int, leaving: Act) -> None:
    """Take both signals for the rest of this process, which is a command's own.

    To be called once, in the main thread, with both signals blocked: they stay so, in all threads to come, for Ray puts
    a handler in C++ in place of any other that prints a stack and aborts. Child processes by fork get them back.

    While a run listens the first asks it to stop and the second ends the process with ENDED_AT_ONCE; before and after,
    the first ends it with the code of Stopped, for nothing is under way that another end would be better for.

    `forwarded` is a pipe with the numbers of signals that another process got for this one. One that both got, as of a
    terminal's Ctrl-C, is one. `leaving` is called before the process ends of its own will.
    """
    os.register_at_fork(after_in_child=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS))
    _state.owned, _state.leaving = True, leaving
    counter = Counter()
    for name, ways in (("own", _own_signals()), ("forwarded", _forwarded_signals(forwarded))):
        threading.Thread(target=_count, args=(name, ways, counter), name=f"signals, {name}", daemon=True).start()


def check() -> None:
    """Raise what the run that listens is asked to end with, if it is asked."""
    if _state.request:
        _state.request.check()


def asked() -> Stopped | None:
    """What a run that listens is asked to end with, if it is asked."""
    return _state.request.why if _state.request else None


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt in the main thread while the context lasts, as it does without `own_process`."""
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _state.interruptible = True
    try:
        yield
    finally:
        _state.interruptible = False
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def last_act(act: Act) -> Iterator[None]:
    """Have `act` done where the process is ended at once while the context lasts. From any thread; it must be short."""
    _state.acts.append(act)
    try:
        yield
    finally:
        _state.acts.remove(act)


def end_at_once(message: str, code: int) -> NoReturn:
    """Say why, do the last acts, and end the process from whatever thread, unwinding nothing."""
    if not _state.ending.acquire(blocking=False):
        threading.Event().wait()  # another thread is at it
    _state.leaving()
    _tell(f"error: {message}")
    acts = threading.Thread(target=_act, daemon=True)
    acts.start()
    acts.join(ACT_SECONDS)
    os._exit(code)


def _tell(message: str) -> None:
    # no lock of a stream that the main thread may hold
    with suppress(OSError):
        os.write(_terminal(), f"{message}\n".encode(errors="replace"))


def leaving() -> None:
    """Say that what ends this process from now on is its own will, and no accident of a library's."""
    _state.leaving()


def leave(code: int) -> NoReturn:
    """End a command that is through, without the interpreter's own end, in which threads of Ray's may abort it."""
    _state.leaving()
    _state.ending.acquire()  # signals mean nothing now
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _act() -> None:
    for act in reversed(_state.acts):
        # one that fails keeps no other from being done
        with suppress(Exception):
            act()


def _terminal() -> int:
    try:
        return sys.stderr.fileno()
    except (OSError, ValueError):
        return 2


def _own_signals() -> Iterator[int]:
    while True:
        yield signal.sigwait(SIGNALS)


def _forwarded_signals(pipe: int) -> Iterator[int]:
    while numbers := os.read(pipe, 64):
        yield from numbers


def _count(way: str, numbers: Iterator[int], counter: Counter) -> None:
    for number in numbers:
        if counter.add(way, time.monotonic()):
            _take(number)


def _take(number: int) -> None:
    name, request = signal.Signals(number).name, _state.request
    if _state.interruptible and number == signal.SIGINT:
        # wakes it from a call that waits; a second one within a moment is none of the user's
        signal.pthread_kill(threading.main_thread().ident or 0, number)
        return
    if request is None:
        end_at_once(f"stopped by {name}; the same command goes on", Stopped.exit_code)
    if not request.take(number):
        end_at_once(f"ended at once by {name} after {request.name}; the same command goes on", ENDED_AT_ONCE)
