from tests.fixtures import chip, closed, command, digits, study, tiny

__all__ = ["chip", "closed", "command", "digits", "study", "tiny"]
