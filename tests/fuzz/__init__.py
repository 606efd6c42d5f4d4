"""Fuzz suite: mutated and generated inputs through every door by which content from outside enters linmem.

A door is one file of `doors`: it makes a case from a seed (files in a folder, and arguments) and uses it. The oracle is
the same for all doors. A case either succeeds with valid output, or it raises ValueError or OSError with a message of
one line of at most 300 characters that names the file; a command exits with status 2 and prints such a line. Any other
exception, a traceback, more than three different warnings, a new file outside the output folder, a changed input, or
more memory or time than the limits is a failure.

Cases run in forked processes under RLIMIT_AS and timers, so that a hang or a crash of the interpreter is one failure.

    python -m tests.fuzz                          all doors, 200 cases each
    python -m tests.fuzz --cases 20000 npy csv    two doors, 20,000 cases each
    python -m tests.fuzz --cases 20000 --save FILE    all doors in pieces; the same command continues after an end
    python -m tests.fuzz --seed 17 --cases 1 npy  case 17 of a door again
    python -m tests.fuzz --replay FOLDER          a kept case again, in this process, with its traceback

A failure prints its door and seed; its files are kept in FOLDER = $LINMEM_FUZZ_KEEP/DOOR-SEED (by default
linmem-fuzz in the folder of temporary files).
"""
