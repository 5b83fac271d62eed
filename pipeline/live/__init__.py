"""The conversation, decided without I/O. `gemini` alone talks to the SDK, and is imported when a line is needed."""
