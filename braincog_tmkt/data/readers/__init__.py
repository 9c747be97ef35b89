"""Raw recordings, one file format a module: bytes on the disk <-> events of `EVENT_DTYPE`.

A reader takes and returns what `read_events` does. A writer takes a path and events, and raises a `DataError` for
events that its format cannot hold (see `check.check_writable`) and for a file that it cannot write whole.
"""

from .formats import READERS, Format, read_events
from .reading import AS_STORED, Reading

__all__ = ["AS_STORED", "READERS", "Format", "Reading", "read_events"]
