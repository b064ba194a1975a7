"""``python -m dtmetrics`` is ``dtmetrics``."""

import sys

from dtmetrics._cli import main

if __name__ == "__main__":
    sys.exit(main())
