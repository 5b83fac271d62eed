"""The bus: messages, their bytes, the sockets they travel on, and what keeps a stream whole when a side dies.

`PROTOCOL.md` beside this file is the contract; code here only follows it.
"""
