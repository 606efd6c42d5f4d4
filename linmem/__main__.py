"""`linmem` and `python -m linmem`: the command line, which Ctrl-C ends with one line and exit status 130 at any moment.

Importing torch takes a second or more, and an exception raised inside an import may be swallowed or shown as a
traceback. Until the command line has been imported, an interrupt therefore ends the process at once; nothing has been
written then.
"""

import os
import signal
import sys
from typing import NoReturn


def main() -> int:
    """Run the command line as a process of its own; returns its exit status."""
    signal.signal(signal.SIGINT, _stop)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # no warnings of torch's sockets before the one line
    from linmem.cli.main import main as run

    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return run()
    except KeyboardInterrupt:
        _stop()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the work is done: the end of the interpreter is not interrupted


def _stop(*_: object) -> NoReturn:
    os.write(2, b"linmem: interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
