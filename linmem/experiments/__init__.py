"""The papers' tables and figures. Each experiment has a configuration, `run`, `show` and `targets`."""
