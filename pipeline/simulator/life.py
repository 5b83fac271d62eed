"""What all connections of one server share."""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.simulator.memory import Handles
from pipeline.simulator.script import Script


@dataclass
class Life:
    """One server's life. `notice_due`: the next spoken answer says first that this is a simulator."""

    script: Script
    notice_due: bool = False
    handles: Handles = field(default_factory=Handles)
    moments: Counter[str] = field(default_factory=Counter)
    connections: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    calls: Iterator[int] = field(default_factory=lambda: itertools.count(1))
