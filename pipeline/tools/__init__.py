"""A person's own functions: declared to the model, run in processes that can be killed, every call answered."""
