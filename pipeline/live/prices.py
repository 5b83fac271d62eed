"""What a token costs: a dated table that ships with the package, and what the configuration says over it.

Dollars a million tokens, paid tier of the Gemini API, by modality. A model that is neither here nor in the
configuration has no price, which is not the same as costing nothing: what it used stays unknown, and is said to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Annotated

from pipeline.config.kinds import Range

READ_ON = "2026-10-09"
"""When https://ai.google.dev/gemini-api/docs/pricing said what stands in `TABLE`."""
MILLION = 1_000_000

_Usd = Annotated[float, Range(0, 10_000)]


@dataclass(frozen=True)
class Price:
    """Dollars a million tokens; null: unknown, or as the shipped table says."""

    text_in: _Usd | None = None
    audio_in: _Usd | None = None
    image_in: _Usd | None = None
    video_in: _Usd | None = None
    text_out: _Usd | None = None
    """Thoughts are billed as text."""
    audio_out: _Usd | None = None

    def over(self, other: Price) -> Price:
        """This one, and the other's where this one says nothing."""
        names = [field.name for field in fields(self)]
        return Price(**{name: _first(getattr(self, name), getattr(other, name)) for name in names})

    def of(self, way: str, kind: str) -> float | None:
        """Of one token. `way`: in, out; `kind`: text, audio, image, video, tool, thoughts, other. None: unknown.

        Of what the service counts without saying what it is, the dearest is taken: a cap must hold.
        """
        if kind == "other":
            known = [getattr(self, field.name) for field in fields(self) if field.name.endswith(f"_{way}")]
            usd = max((price for price in known if price is not None), default=None)
        else:
            name = "text" if kind in ("tool", "thoughts") else kind
            usd = getattr(self, f"{name}_{way}", None)
        return None if usd is None else usd / MILLION


_LIVE_3 = Price(text_in=0.75, audio_in=3.00, image_in=1.00, video_in=1.00, text_out=4.50, audio_out=12.00)
_NATIVE_2_5 = Price(text_in=0.50, audio_in=3.00, image_in=3.00, video_in=3.00, text_out=2.00, audio_out=12.00)

TABLE: Mapping[str, Price] = {
    "gemini-3.8-live*": _LIVE_3,
    "gemini-3.1-flash-live*": _LIVE_3,
    "gemini-2.5-flash-native-audio*": _NATIVE_2_5,
    "gemini-live-2.5-flash-native-audio*": _NATIVE_2_5,  # the same one on Vertex AI
    "gemini-3.5-live-translate*": Price(audio_in=3.50, audio_out=21.00),
}
"""By pattern of the model's name."""


def price_of(model: str, own: Mapping[str, Price]) -> Price | None:
    """The price of a model as it is named to the SDK; `own` by pattern, over the table. None: nobody knows it."""
    name = model.rpartition("/")[2]
    found = [table[pattern] for table in (own, TABLE) if (pattern := _closest(name, table)) is not None]
    if not found:
        return None
    price = found[0].over(found[-1])
    return price if any(getattr(price, field.name) is not None for field in fields(price)) else None


def _closest(name: str, patterns: Iterable[str]) -> str | None:
    """The pattern that says most of the name."""
    fitting = [pattern for pattern in patterns if fnmatchcase(name, pattern.rpartition("/")[2])]
    return max(fitting, key=len, default=None)


def _first(value: float | None, other: float | None) -> float | None:
    return other if value is None else value
