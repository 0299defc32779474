"""How many checks a second the sandbox gives, by inputs a function and by servers.

    python benchmarks/sandbox_rate.py [--seconds 3] [--servers 1,2]

Every check call is a new function, so every call pays for its own fork; what varies is how many inputs share it.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor

from tables import markdown, publish

from evolve.sandbox import Sandbox, Verdict

INPUTS_A_FUNCTION = (1, 4, 8, 24, 100)
FUNCTION = """
import re
WORD = re.compile(r"[A-Za-z']+")
def evaluate(response):
    words = WORD.findall(response)
    return sum(len(word) > {longest} for word in words) <= len(words) // 2
"""
RESPONSE = "Checking a response of ordinary length takes a few dozen microseconds of the worker's time. " * 8


def rate(box: Sandbox, servers: int, inputs: int, seconds: float) -> float:
    """Checks a second over at least `seconds`, asked from as many threads as there are servers."""
    texts = [f"{number} {RESPONSE}" for number in range(inputs)]
    end = time.perf_counter() + seconds

    def ask(_: int) -> int:
        done = 0
        while time.perf_counter() < end:
            results = box.check(FUNCTION.format(longest=done % 9 + 1), texts)
            assert all(isinstance(result, Verdict) for result in results)
            done += len(results)
        return done

    started = time.perf_counter()
    with ThreadPoolExecutor(servers) as pool:
        checks = sum(pool.map(ask, range(servers)))
    return checks / (time.perf_counter() - started)


def main() -> None:
    """Measure every combination and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=3.0, help="per measurement")
    parser.add_argument("--servers", default="1,2", help="numbers of servers, by commas")
    options = parser.parse_args()
    load, rows = os.getloadavg()[0], []
    for servers in map(int, options.servers.split(",")):
        with Sandbox(servers=servers) as box:
            rates = [rate(box, servers, count, options.seconds) for count in INPUTS_A_FUNCTION]
        rows.append([servers, *(f"{rate:,.0f}" for rate in rates)])
    table = markdown(["servers", *(f"{count} inputs" for count in INPUTS_A_FUNCTION)], rows)
    publish("sandbox_rate", f"Load {load:.1f} at start.\n\n{table}")


if __name__ == "__main__":
    main()
