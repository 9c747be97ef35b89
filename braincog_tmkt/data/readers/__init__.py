"""Raw recordings, one file format a module: bytes on the disk <-> events of `EVENT_DTYPE`."""
