"""
Invalidations by other processes: listeners for threads and for event loops.

Begin with `subscription.py`: one feed, its reconnects and its liveness. `listener.py` and `async_listener.py` drive it,
and `copies.py` drops what this process has of an account.
"""
