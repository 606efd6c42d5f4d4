"""`python -m linmem.cli`: the same as `python -m linmem`."""

import sys

from linmem.__main__ import main

sys.exit(main())
