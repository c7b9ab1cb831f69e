"""A page says by its last line whether it is as it was written, and of which artifacts."""

import numpy as np

from lossmap.page.seal import is_sealed, seal_page, shows

MADE = {"grid/a": "1" * 64, "grid/b": "2" * 64}


def write(path, text="<p>α, β</p>\n" * 50):
    path.write_text(seal_page(text, MADE), encoding="utf-8")
    return path


def test_a_page_holds_its_seal_and_says_what_it_shows(tmp_path):
    page = write(tmp_path / "index.html")
    assert is_sealed(page)
    assert shows(page, dict(reversed(MADE.items())))
    assert not shows(page, MADE | {"grid/a": "3" * 64})
    assert not shows(page, {"grid/a": MADE["grid/a"]})


def test_no_byte_of_a_page_may_change(tmp_path):
    page = write(tmp_path / "index.html")
    text = bytearray(page.read_bytes())
    digests = len(text) - len("1" * 64 + " -->\n")  # of artifacts: compared with what is there
    for place in np.random.default_rng(0).integers(0, digests, 200):
        damaged = text.copy()
        damaged[place] ^= 1
        page.write_bytes(damaged)
        assert not is_sealed(page), place
    for cut in (0, 1, 100, len(text) - 1):
        page.write_bytes(text[:cut])
        assert not is_sealed(page), cut
    page.write_bytes(text + b" ")
    assert not is_sealed(page)
