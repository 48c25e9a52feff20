"""One module for each command of ``worldjepa``: a dataclass ``Options`` and ``run(options) -> exit status``."""
