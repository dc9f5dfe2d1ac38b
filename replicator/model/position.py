"""Positions on a node: integers inside, `16/B374D848` in text (PostgreSQL documentation, "pg_lsn Type")."""


def text(lsn: int) -> str:
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def number(lsn: str) -> int:
    high, low = lsn.split("/")
    return int(high, 16) << 32 | int(low, 16)
