"""Starts, watches, restarts and stops the stages of a pipeline. Carries no audio.

`policy` and `health` decide, without I/O and with time as an argument; `children`, `stderr`, `control` and `loop` act.
"""
