"""What a process takes of the machine, as Linux tells it."""

from __future__ import annotations

import os
import re
from pathlib import Path


def peak_mb(pid: int) -> int:
    """The most memory it has had at a time (VmHWM)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) // 1000


def memory_mb(pid: int) -> float:
    """What it has now (VmRSS)."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1000


def cpu_seconds(pid: int) -> float:
    """All its threads, in the system too."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
