"""`python -m linmem.cli`: the command line, as an older name of `python -m linmem`."""

import sys

from linmem.cli.main import main

sys.exit(main())
