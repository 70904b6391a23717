"""The command line: `seqrec.cli.command_line.main` runs a command."""
