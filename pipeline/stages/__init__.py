"""The stages that ship with the pipeline: thin wiring around audio/ and live/. A stage never imports another."""
