"""The command line: builds and passes on, decides nothing."""


def main() -> None:
    """Run the command line."""
