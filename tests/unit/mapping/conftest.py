from tests.fixtures import chip, closed, digits, study, tiny

__all__ = ["chip", "closed", "digits", "study", "tiny"]
