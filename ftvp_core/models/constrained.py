"""Answers that are valid by construction: a token that would break the row's JSON Schema is never chosen.

llguidance turns a schema into a grammar and says of every token of a vocabulary whether it may come next. An answer
that is cut by its `max_tokens` is the beginning of a valid one, and so invalid.
"""

import json
from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from typing import Any
from urllib.parse import quote

from ftvp_core.errors import UserError
from ftvp_core.schemas import Schema, path_of, subschemas

#: A row's own step before its likeliest token is taken: (its generated tokens, its logits [vocabulary] in float32,
#: on the model's device) -> its logits. What a row may not say is minus infinity. It may keep a state: it belongs to
#: one try of one row, is called once a token, and never for a row that has ended.
Processor = Callable[[list[int], Any], Any]

#: White space between JSON's signs: one blank or none, as outlines has it. A weak model that may indent spends its
#: tokens on that.
_OPTIONS: Any = {"whitespace_pattern": " "}


def runnable(schema: Any, where: str, provider: str | None) -> Schema:
    """A candidate's output schema. Raises UserError for what is none, or what its local model can't be held to."""
    checked = Schema(schema, where)
    if provider == "local":
        check_constrainable(schema, where)
    return checked


def check_constrainable(schema: Any, where: str) -> None:
    """Raises UserError, with the key's path, for a valid schema that answers can't be constrained to."""
    said = _problem(schema)
    if said is None:
        return
    # The innermost part that fails alone is where the cause stands; what it refers to goes with it.
    defined = (
        {key: schema[key] for key in ("$defs", "definitions") if key in schema} if isinstance(schema, dict) else {}
    )
    path: tuple[str | int, ...] = ()
    for at, part in subschemas(schema):
        found = _problem({**defined, **part}) if at else None
        if found is not None and len(at) > len(path):
            path, said = at, found
    raise UserError(path_of(where, path), f"a local model can't be held to this ({said})", "leave it out of the schema")


class Grammars:
    """The grammars of one tokenizer: each schema is compiled once."""

    def __init__(self, tokenizer: Any, vocabulary: int, stops: Collection[int]) -> None:
        """`vocabulary`: how many logits the model has. `stops`: tokens that end an answer. Raises UserError."""
        from llguidance.hf import from_tokenizer

        try:
            self._tokens = from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=sorted(stops) or None)
        except ValueError as error:
            raise UserError("output_schema", f"this model's tokenizer can't be constrained ({error})") from None
        self._compiled: dict[str, Any] = {}

    def processor(self, schema: Mapping[str, Any]) -> Processor:
        """For one try of one row, of a schema that passed `check_constrainable`."""
        import torch
        from llguidance import LLMatcher

        key = json.dumps(schema)
        if key not in self._compiled:
            self._compiled[key] = LLMatcher(self._tokens, _grammar(schema), log_level=0)
        matcher = self._compiled[key].deep_copy()
        seen = 0

        def constrain(tokens: list[int], logits: Any) -> Any:
            nonlocal seen
            matcher.consume_tokens(tokens[seen:])
            seen = len(tokens)
            if matcher.is_error():  # out of its limits: the answer goes on freely, and is judged like any other
                return logits
            # Its own `apply` is compiled by torch at its first use, for longer than most runs take.
            allowed = torch.frombuffer(bytearray(matcher.compute_logit_bias()), dtype=torch.uint8)
            return logits.masked_fill((allowed == 0).to(logits.device), float("-inf"))

        return constrain


def _grammar(schema: Any) -> str:
    """The library takes references as URIs alone, in which `#/$defs/점` isn't written like that."""
    from llguidance import LLMatcher

    encoded = deepcopy(schema)
    for _, part in subschemas(encoded):
        if isinstance(part.get("$ref"), str):
            part["$ref"] = quote(part["$ref"], safe="#/%:?&=~!$'()*+,;@")
    grammar: str = LLMatcher.grammar_from_json_schema(json.dumps(encoded), _OPTIONS)
    return grammar


def _problem(schema: Any) -> str | None:
    """Why the library can't take a schema, in one line."""
    from llguidance import LLMatcher

    is_error, said = LLMatcher.validate_grammar_with_warnings(_grammar(schema))
    return " ".join(said[0].split())[:200] if is_error else None
