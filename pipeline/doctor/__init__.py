"""What would stop this machine from talking, asked of the machine itself: network, sound, places, clock, key.

Each check takes what it asks as arguments, is bounded in time and returns findings; none of them raises.
"""
