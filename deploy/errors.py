"""The error that a command reports as one sentence instead of a traceback."""

from schemas.processes import NOT_DONE, WRONG_SET_UP

__all__ = ["NOT_DONE", "WRONG_SET_UP", "CommandError"]


class CommandError(Exception):
    """The command cannot do what was asked. `str()` is one sentence for the user and holds no secret."""

    def __init__(self, sentence: str, exit_code: int = WRONG_SET_UP) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
