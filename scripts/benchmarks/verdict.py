"""How soon line 1 of `status` names what makes a kiosk silent: each fault done to one for real, and undone."""

from __future__ import annotations

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.rooms import Room
from tests.rig import faults
from tests.rig.afflicted import Afflicted


def run(room: Room) -> list[Figure]:
    """Every fault once. The floor: what `status` itself takes."""
    rows, missed = [], []
    with room.sound() as pulse, Afflicted(room.home("verdict"), pulse) as kiosk:
        kiosk.start()
        kiosk.until_line(lambda line: line.startswith("shop: ok"), 30)
        floor = [kiosk.line_s() for _ in range(10)]
        for fault in faults.FAULTS:
            if fault.alone and not kiosk.net:
                room.say(f"  {fault.name}: left out, it needs a network namespace (root)")
                continue
            try:
                row = faults.suffer(kiosk, fault)
            except AssertionError as error:
                missed.append(f"{fault.name}: {str(error).splitlines()[-1]}")
                room.say(f"  {fault.name}: NOT NAMED, or for ever: {str(error)[:1500]}")
                continue
            rows.append(row)
            room.say(f"  {row.known_s:5.2f} s  {row.name}\n           {row.line}")
    named = f"{len(rows)} of {len(rows) + len(missed)} faults named in line 1 of status, from when each could be known"
    goal = faults.GOAL_S
    known = Figure(named, "s", [row.known_s for row in rows], floor, worst=goal, broken=missed)
    injected = Figure("from the fault itself (three answers nobody hears, a dead line's 6 s …)", "s",
                      [row.injected_s for row in rows])  # fmt: skip
    back = Figure("from its end to ok", "s", [row.back_s for row in rows])
    return [known, injected, back]
