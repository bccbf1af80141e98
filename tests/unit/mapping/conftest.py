from tests.fixtures import chip, command, digits, tiny

__all__ = ["chip", "command", "digits", "tiny"]
