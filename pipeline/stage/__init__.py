"""The life of a stage: what is the same for every process of a pipeline, so that a stage itself is only its idea."""

from pipeline.stage.life import main
from pipeline.stage.stage import Stage

__all__ = ["Stage", "main"]
