#!/usr/bin/env python3
"""A server of the Model Context Protocol on stdin and stdout, in the standard library alone, good and bad.

`MARKED=NAME` in its environment is the text that `marked` returns.
"""

import json
import os
import sys
import time

TEXT = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}
NOTHING = {"type": "object", "properties": {}}
TOOLS = {
    "find_order": ("Find an order by its number.", TEXT),
    "marked": ("What it was started with.", NOTHING),
    "dies": ("End in mid-call.", NOTHING),
    "hangs": ("Answer nobody any more.", NOTHING),
    "waits": ("Answer never, but live on.", NOTHING),
    "floods": ("Fill stderr, then answer.", NOTHING),
    "fails": ("Say that it failed.", NOTHING),
    "grows": ("Offer one function more.", NOTHING),
    "long": ("Return too much.", NOTHING),
}


def say(message):
    """One line of JSON-RPC."""
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def call(name, args):
    """The result of a function; None for none."""
    text = ""
    if name == "find_order":
        text = f"order {args['order_id']} is ready"
    elif name == "marked":
        text = f"{os.environ.get('MARKED')} {os.getpid()} {'GOOGLE_API_KEY' in os.environ}"
    elif name == "dies":
        os._exit(3)
    elif name == "hangs":
        time.sleep(600)
    elif name == "waits":
        return None
    elif name == "floods":
        sys.stderr.write("nonsense\n" * 100_000)
    elif name == "grows":
        TOOLS["grown"] = ("Came later.", NOTHING)
        say({"method": "notifications/tools/list_changed"})
    elif name == "long":
        text = "x" * 1_000_000
    return {"content": [{"type": "text", "text": text}], "isError": name == "fails"}


def answer(method, params):
    """The result of a request; None for none."""
    if method == "initialize":
        version = params["protocolVersion"]
        about = {"name": "orders", "version": "1"}
        return {"protocolVersion": version, "capabilities": {"tools": {"listChanged": True}}, "serverInfo": about}
    if method == "tools/list":
        return {"tools": [{"name": n, "description": d, "inputSchema": s} for n, (d, s) in TOOLS.items()]}
    if method == "tools/call":
        return call(params["name"], params.get("arguments") or {})
    return {}


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request and (result := answer(request["method"], request.get("params") or {})) is not None:
        say({"id": request["id"], "result": result})
