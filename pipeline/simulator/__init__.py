"""A Live API server for this machine: any program built on google-genai talks to it unmodified.

Decisions are made without I/O (conversation.py, turn_taking.py, vad.py, …); connection.py and server.py carry them out.
"""

from pipeline.simulator.script_place import ScriptError
from pipeline.simulator.server import Server

__all__ = ["ScriptError", "Server"]
