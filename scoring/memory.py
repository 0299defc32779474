"""How many tokens a forward pass may hold, from the memory that is free."""

from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_FLOOR = 256
# Tokens of one forward pass by kind of device. More gain nothing: on a CPU they leave the cache, on a GPU launches
# are hidden already.
CEILING = {"cpu": 512, "cuda": 16384}


def budget_from_memory(free: int, bytes_per_token: int, ceiling: int) -> int:
    """Tokens that fill at most half of `free` bytes, no more than `ceiling` and no fewer than 256."""
    return max(_FLOOR, min(ceiling, free // 2 // bytes_per_token))


def free_host_memory() -> int | None:
    """Bytes this process can still take within its control group's limit; None if unknown."""
    known = [amount for amount in (_available(), _left_in_control_group()) if amount is not None]
    return min(known, default=None)


def _available() -> int | None:
    if not _MEMINFO.exists():
        return None
    fields = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


def _left_in_control_group() -> int | None:
    limit, used = _CGROUP / "memory.max", _CGROUP / "memory.current"
    if not (limit.exists() and used.exists()) or limit.read_text().strip() == "max":
        return None
    return max(int(limit.read_text()) - int(used.read_text()), 0)
