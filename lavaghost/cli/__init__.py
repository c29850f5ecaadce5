"""The command line: the only room that knows all the others.

`main` turns every foreseen fault into one line on standard error and an exit code: 0 good, 1 a negative
result, 2 bad input, 3 something needed is not installed, 130 interrupted.
"""

import os
import sys
from collections.abc import Sequence

import click

from lavaghost.cli import exports, hardware, imports, quantize, train
from lavaghost.cli.commands import cli
from lavaghost.cli.console import fail, warnings_shown
from lavaghost.errors import LavaGhostError

__all__ = ["main"]

for group in (train, imports, exports, hardware, quantize):
    for command in group.COMMANDS:
        cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        with warnings_shown():
            code = cli.main(args=arguments, prog_name="lavaghost", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        return _fail(error.format_message(), 2)
    except LavaGhostError as error:
        return _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.exceptions.Abort):
        return _fail("interrupted; a training run goes on with --resume", 130)
    except BrokenPipeError:
        # the reader of standard output has gone; python would complain once more while closing it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError:
        return _fail("not enough memory; lower learning.batch_size or the layer sizes", 2)
    except Exception as error:
        if os.environ.get("LAVAGHOST_TRACEBACK"):
            raise
        return _fail(
            f"internal error: {type(error).__name__}: {error}; please report it with the traceback "
            "that LAVAGHOST_TRACEBACK=1 shows",
            1,
        )


def _fail(message: str, code: int) -> int:
    # a Lava fault carries its process's traceback below the first line
    fail(message)
    return code
