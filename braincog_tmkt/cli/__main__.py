"""`python -m braincog_tmkt.cli`, the same as `tmkt`."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
