"""What may happen to the bytes of a file."""

import random


def damaged(content, number, seed):
    """Bytes flipped, replaced by what JSON is made of, taken out, or cut off: so many of each."""
    rng = random.Random(seed)
    for _ in range(number):
        at = rng.randrange(len(content))
        yield content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
        yield content[:at] + bytes([rng.choice(b'0123456789-.e"{}[],: \n')]) + content[at + 1 :]
        yield content[:at] + content[at + 1 :]
        yield content[:at]
    yield from (b"", b"[]", b"null", b"3", b'"text"', b"{}", b"\xff\xfe", b"[" * 100_000)
