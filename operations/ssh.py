"""SSH as pyinfra has it, but for what a login file of the user's prints before each command.

bash and zsh read such a file for a command by SSH as well, and pyinfra takes its `echo` for the
first lines of the answer. A connection that has ended is told as pyinfra expects it.
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
    """An SSH connection whose commands' output begins where they do."""

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
                raise  # of the question for a password, without a terminal
            # What pyinfra takes for the loss of a host; the other would end in a traceback.
            raise SSHException("the connection has ended") from error
        return ok, own_output(output)


def own_output(output: CommandOutput) -> CommandOutput:
    """What came after the mark; all of it if there is none, as the command was never begun."""
    lines = output.combined_lines
    begins = [
        index
        for index, line in enumerate(lines)
        # What was printed before may have had no end of its line.
        if line.buffer_name == "stdout" and line.line.endswith(MARK)
    ]
    if not begins:
        return output
    before = [line for line in lines[: begins[0]] if line.buffer_name == "stderr"]
    return CommandOutput(before + lines[begins[0] + 1 :])
