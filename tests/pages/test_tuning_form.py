"""The form of a tuning's settings: each default is explained, with who found it."""

import re

from streamlit.testing.v1 import AppTest

#: A paper's year, or the library whose default it is.
SOURCE = re.compile(r"\b(19|20)\d\d\b|transformers|TRL")


def form() -> None:
    from ui.tuning import tune_form

    tune_form("form", None)


def test_each_default_is_explained_with_its_source() -> None:
    at = AppTest.from_function(form, default_timeout=60).run()
    assert not at.exception
    widgets = [*at.number_input, *at.selectbox, *at.checkbox, *at.text_input]
    assert len(widgets) > 20
    without = {one.label for one in widgets if not SOURCE.search(one.help)}
    assert without == {"At most, in rows", "Also with under 10 rows"}, "these two have no default to explain"
