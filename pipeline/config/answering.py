"""The child's side of `child`: requests from stdin, a JSON line on stdout for each."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any


def answer_all(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer what stdin asks, each as soon as it is known, then end the process."""
    asked: list[dict[str, Any]] = json.loads(sys.stdin.buffer.read())
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a module prints must not stand between the answers
    for folder in dict.fromkeys(request["config_dir"] for request in asked):
        sys.path.insert(0, folder)
    for request in asked:
        answers.write(json.dumps({"name": request["name"], **answer(request)}) + "\n")
        answers.flush()
    os._exit(0)  # threads and exit hooks of what was imported are nobody's business
