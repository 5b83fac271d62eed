"""Counting tokens as the service bills them: 25 a second of audio, 258 an image, about one for four letters of text."""

import math
from collections import Counter
from typing import Any

AUDIO_PER_SECOND = 25
IMAGE = 258
LETTERS_PER_TOKEN = 4

Tokens = Counter[str]
"""Tokens by modality: TEXT, AUDIO, IMAGE."""


def text_tokens(text: str) -> int:
    """Tokens of a text."""
    return math.ceil(len(text) / LETTERS_PER_TOKEN)


def audio_tokens(seconds: float) -> int:
    """Tokens of so much audio, either direction."""
    return math.ceil(seconds * AUDIO_PER_SECOND)


def usage_metadata(prompt: Tokens, response: Tokens) -> dict[str, Any]:
    """The `usageMetadata` of one turn: the whole context is billed again each turn, as the service does."""
    prompt_total, response_total = prompt.total(), response.total()
    return {
        "promptTokenCount": prompt_total,
        "responseTokenCount": response_total,
        "totalTokenCount": prompt_total + response_total,
        "promptTokensDetails": _details(prompt),
        "responseTokensDetails": _details(response),
    }


def _details(tokens: Tokens) -> list[dict[str, Any]]:
    return [{"modality": name, "tokenCount": count} for name, count in sorted(tokens.items()) if count]
