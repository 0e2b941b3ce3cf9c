"""What all processes of Curbside share: exit codes, the log level option, the interpreter's switch interval, notification times."""

from typing import Any

NOT_DONE = 1
"""Exit code: the command was understood, and could not do all that was asked."""
WRONG_SET_UP = 2
"""Exit code: a setting or an option is wrong."""
LOG_LEVEL: dict[str, Any] = {
    "type": str.upper,
    "choices": ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    "default": "INFO",
    "help": "lowest level of log lines to write (default: INFO)",
}
"""The command-line argument `--loglevel`, for argparse."""
SWITCH_INTERVAL_SECONDS = 0.0005
"""How long a thread may keep the interpreter while another wants it. Python's default, 5 ms, delays an alert at each of its steps."""
NOTIFY_INTERVAL_MS = 1_000
"""How often a queue whose task runs is notified at the most: a second worker then starts beside it."""
NOTIFICATION_EXPIRES_SECONDS = 60
"""A notification that no worker took for so long is dropped. Until then, or until it is answered, no other one is sent."""
NOTIFICATION_LIFETIME_MS = NOTIFICATION_EXPIRES_SECONDS * 1_000
UNANSWERED_MS = 1_500
"""A notification that no worker has answered for so long may be lost: the workers start the queue without it."""
