"""`python -m linmem.cli`, as under torchrun."""

import sys

from linmem.cli.main import main

sys.exit(main())
