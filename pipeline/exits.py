"""Exit codes of stages and commands, each with one meaning everywhere."""

OK = 0
"""Asked to stop, or the work is complete."""
CRASH = 1
"""A bug: counted, backed off, escalated."""
WORLD = 69
"""A device or server outside went away: replaced at once, never counted."""
SOFTWARE = 70
"""The pipeline gave up so that the service manager above it starts it anew."""
CONFIG = 78
"""The configuration, or a module that it names, can't be used: a restart would not help."""
