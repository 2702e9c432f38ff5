"""pyinfra's SSH connector, without what the user's login files print before each command.

bash and zsh read such a file for a command over SSH as well, and pyinfra takes its output for the
first lines of the answer. The connector also reports a lost connection as pyinfra expects it.
"""

from __future__ import annotations

from paramiko import SSHException
from pyinfra.api import StringCommand
from pyinfra.api.arguments import ConnectorArguments
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import CommandOutput
from typing_extensions import Unpack, override

MARK = "=== quaylab ==="
BEGIN = f"echo '{MARK}'; "


class Ssh(SSHConnector):
    """An SSH connector that returns only the output of the commands themselves."""

    @override
    def run_shell_command(
        self,
        command: StringCommand,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Unpack[ConnectorArguments],
    ) -> tuple[bool, CommandOutput]:
        try:
            ok, output = super().run_shell_command(
                StringCommand(BEGIN, command, _separator=""), print_output, print_input, **arguments
            )
        except EOFError as error:
            transport = self.client.get_transport() if self.client else None
            if transport and transport.is_active():
                raise  # pyinfra asked for a password, without a terminal
            # pyinfra handles this exception as a lost host; EOFError would end in a traceback.
            raise SSHException("the connection has ended") from error
        return ok, command_output(output)


def command_output(output: CommandOutput) -> CommandOutput:
    """Return the output after the mark; without a mark all of it, as the command never started."""
    lines = output.combined_lines
    marks = [
        index
        for index, line in enumerate(lines)
        # The output before may lack a newline at its end.
        if line.buffer_name == "stdout" and line.line.endswith(MARK)
    ]
    if not marks:
        return output
    before = [line for line in lines[: marks[0]] if line.buffer_name == "stderr"]
    return CommandOutput(before + lines[marks[0] + 1 :])
