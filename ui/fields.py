"""The fields of a form that edits one part of a candidate: each shows what the part has, or its default."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from ftvp_core.drafts import Keys
from ftvp_core.spec.parts import Part


class Fields:
    """What is chosen in a form, key by key.

    `place` is in every widget's key: two forms on a page, or one that is opened for another candidate, remember nothing
    of each other. What the part holds and no field asks for is kept as it is.
    """

    def __init__(self, place: str, given: Keys | None, part: type[Part], why: Mapping[str, str]) -> None:
        """`given`: the part as the file has it, valid; `why`: the keys' help."""
        self._place = f"{place}-{part.__name__}"
        self._kept = dict(given or {})
        self._given, self._default = part(**self._kept), part()
        self._why = why
        self._chosen: Keys = {}

    def number(self, box: Any, name: str, label: str, low: float, high: float | None = None, **look: Any) -> Any:
        """A number, whole if `low` is. Where the default is none, it can be left empty. A file may go beyond the bounds."""
        value = getattr(self._given, name)
        key = self._key(name)
        if value is not None:
            value = type(low)(value)
            low, high = min(low, value), None if high is None else max(high, value)
        if getattr(self._default, name) is None:  # only a field that begins empty can be emptied
            st.session_state.setdefault(key, value)
            value = None
        return self.put(name, box.number_input(label, low, high, value, key=key, help=self._why.get(name), **look))

    def tick(self, box: Any, name: str, label: str) -> bool:
        checked: bool = box.checkbox(label, getattr(self._given, name), key=self._key(name), help=self._why.get(name))
        self.put(name, checked)
        return checked

    def choice(self, box: Any, name: str, label: str, options: Mapping[Any, str], preferred: Any = None) -> Any:
        """One of some, by their words. `preferred` is chosen where the part doesn't say."""
        value = self._kept.get(name, preferred or getattr(self._default, name))
        return self.put(
            name,
            box.selectbox(
                label,
                list(options),
                list(options).index(value),
                format_func=options.__getitem__,
                key=self._key(name),
                help=self._why.get(name),
            ),
        )

    def text(self, box: Any, name: str, label: str, shown: str, **look: Any) -> str:
        """A text that begins as `shown`; what the part gets of it is `put` by whoever reads it."""
        typed: str = box.text_input(label, shown, key=self._key(name), help=self._why.get(name), **look)
        return typed.strip()

    def put(self, name: str, value: Any) -> Any:
        """Set a key of the part; None removes it."""
        self._chosen[name] = value
        return value

    @property
    def given(self) -> Any:
        """The part as it is edited, validated."""
        return self._given

    def keys(self) -> Keys:
        """The part; what equals its default is left out."""
        changed = {
            name: value
            for name, value in self._chosen.items()
            if value is not None and value != getattr(self._default, name)
        }
        return {name: value for name, value in self._kept.items() if name not in self._chosen} | changed

    def _key(self, name: str) -> str:
        return f"{self._place}-{name}"
