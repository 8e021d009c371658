import unicodedata

import numpy as np
import pytest

from tests.support.character_table import make_character_table
from textcnn.plain.characters import character_table


@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="this Python has another Unicode")
def test_the_kept_table_is_that_of_unicode_14() -> None:
    assert np.array_equal(character_table(), make_character_table())
