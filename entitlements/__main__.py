"""The command line, as `python -m entitlements`."""

import sys

from entitlements.cli import main

if __name__ == "__main__":
    sys.exit(main())
