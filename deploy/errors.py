"""What a person is told instead of a traceback."""

from schemas.processes import NOT_DONE, WRONG_SET_UP

__all__ = ["NOT_DONE", "WRONG_SET_UP", "CommandError"]


class CommandError(Exception):
    """The command cannot do what was asked. `str()` is one clear sentence for a person; it shows no secret."""

    def __init__(self, sentence: str, exit_code: int = WRONG_SET_UP) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
