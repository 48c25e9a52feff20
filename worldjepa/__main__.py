"""``python -m worldjepa``, and ``torchrun --nproc_per_node 2 -m worldjepa train ...``."""

import sys

from worldjepa.cli import main

if __name__ == "__main__":
    sys.exit(main())
