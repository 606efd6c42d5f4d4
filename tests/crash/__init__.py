"""The crash suite: kills, full disks, read-only folders, two writers, interrupts, clock jumps, exhausted memory."""
