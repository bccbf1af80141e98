"""What tests compare with: slow twins, other ways to one answer, and circuits that other programs solved."""

from pathlib import Path

GOLDEN = Path(__file__).parent / "circuits"
