"""The voices that ship with the service, so that a typo is noticed here: there it ends each connection with a 1007."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pipeline.config.errors import nearest
from pipeline.config.service import SESSION
from pipeline.config.tables import StageTable

VOICES: Final = (
    "Achernar", "Achird", "Algenib", "Algieba", "Alnilam", "Aoede", "Autonoe", "Callirrhoe", "Charon", "Despina",
    "Enceladus", "Erinome", "Fenrir", "Gacrux", "Iapetus", "Kore", "Laomedeia", "Leda", "Orus", "Puck", "Pulcherrima",
    "Rasalgethi", "Sadachbia", "Sadaltager", "Schedar", "Sulafat", "Umbriel", "Vindemiatrix", "Zephyr", "Zubenelgenubi",
)  # fmt: skip
"""As documented in 2026; there may be more by now, so that an unknown one is a warning."""


def unknown(stages: Sequence[StageTable]) -> Iterator[str]:
    """A line if the session is to speak with a voice that is not known."""
    voice = next((table.options.get("voice") for table in stages if table.name == SESSION), None)
    if isinstance(voice, str) and voice.casefold() not in {name.casefold() for name in VOICES}:
        near = nearest(voice, VOICES)
        meant = f"did you mean {near}?" if near else f"known are {', '.join(VOICES)}"
        yield f"stages.session.voice: no voice of the service is known as '{voice}'; {meant}"
