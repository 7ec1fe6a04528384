"""Numbers with the word of what they count."""


def counted(number: int, thing: str, things: str = "") -> str:
    """`1 trade`, `0 trades`, `1,250 trades`. `things` is the plural where it is not the word with an s."""
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"
