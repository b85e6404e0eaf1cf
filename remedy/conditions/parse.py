"""
Condition text to a typed tree, by recursive descent over the fixed grammar of docs/conditions.md.

    condition   = disjunction
    disjunction = conjunction { "or" conjunction }
    conjunction = negation { "and" negation }
    negation    = "not" negation | predicate
    predicate   = sum [ comparator sum
                      | ["not"] "like" sum
                      | ["not"] "between" sum "and" sum
                      | ["not"] "in" "(" literal { "," literal } ")" ]
    sum         = product { ( "+" | "-" ) product }
    product     = unary { ( "*" | "/" ) unary }
    unary       = "-" unary | primary
    primary     = number | text | "true" | "false" | name | "params" "." name | name "." name
                | name "(" disjunction { "," disjunction } ")" | "(" disjunction ")"
"""

from collections.abc import Callable
from dataclasses import replace

from remedy.conditions.refusals import GRAMMAR_WORDS, NO_NULL, REFUSED_WORDS, no_literal, surprise
from remedy.conditions.tokens import SHOWN_CHARACTERS_MAX, Kind, Token, scan
from remedy.conditions.tree import (
    Arithmetic,
    ArithmeticSign,
    Between,
    Call,
    ColumnRead,
    Comparator,
    Comparison,
    Constant,
    In,
    Junction,
    Mistake,
    Negative,
    Node,
    Not,
    OtherRead,
    ParamRead,
    Span,
    Word,
    walk,
)
from remedy.text import untrusted

__all__ = ["CHARACTERS_MAX", "DEPTH_MAX", "NODES_MAX", "RESERVED_WORDS", "parse"]

CHARACTERS_MAX = 4_096
"""How long the text of a condition may be."""

DEPTH_MAX = 32
"""How deep a condition may be nested, in parentheses and as a tree."""

NODES_MAX = 500
"""How many literals, names and operations a condition may have."""

RESERVED_WORDS = GRAMMAR_WORDS | REFUSED_WORDS | {"params"}
"""Words that no column and no signal can have as its name, in any case."""

_COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")


class _Stop(Exception):
    """Ends the descent; never leaves this module."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.message)
        self.mistake = mistake


def _stop(offset: int, message: str, cure: str) -> _Stop:
    return _Stop(Mistake(offset=offset, message=message, cure=cure))


def parse(text: str) -> tuple[Node | None, tuple[Mistake, ...]]:
    """
    Return the tree of a condition, or None where there is none, and what is wrong with it.

    A tree that comes with mistakes is for finding more of them, never for use.
    """
    if len(text) > CHARACTERS_MAX:
        message = f"the condition has {len(text)} characters; {CHARACTERS_MAX} are allowed"
        return None, (Mistake(offset=0, message=message, cure="split it into several rules"),)
    scanned = scan(text)
    if not scanned.parsable:
        return None, scanned.mistakes
    parser = _Parser(scanned.tokens)
    try:
        tree = parser.condition()
    except _Stop as stop:
        return None, (*scanned.mistakes, *parser.mistakes, stop.mistake)
    if too_much := _too_much(tree):
        return None, (*scanned.mistakes, *parser.mistakes, *too_much)
    return tree, (*scanned.mistakes, *parser.mistakes)


def _too_much(tree: Node) -> tuple[Mistake, ...]:
    nodes = list(walk(tree))
    if len(nodes) > NODES_MAX:
        message = f"the condition has {len(nodes)} literals, names and operations; {NODES_MAX} are allowed"
        return (Mistake(offset=0, message=message, cure="split it into several rules"),)
    deep = next((node for node, depth in nodes if depth > DEPTH_MAX), None)
    return () if deep is None else (_too_deep(deep.span.start),)


def _too_deep(offset: int) -> Mistake:
    message = f"the condition is nested deeper than {DEPTH_MAX}"
    return Mistake(offset=offset, message=message, cure="write it with fewer parentheses and operations in a row")


class _Parser:
    """One descent over one text's tokens."""

    def __init__(self, tokens: tuple[Token, ...]) -> None:
        self.mistakes: list[Mistake] = []
        self._tokens = tokens
        self._index = 0
        self._depth = 0

    def condition(self) -> Node:
        """Return the tree of the whole text."""
        if self._at_end():
            raise _stop(0, "the condition is empty", "write one, such as free_percent < 10")
        tree = self._disjunction()
        if not self._at_end():
            raise _Stop(surprise(self._next, value_wanted=False))
        return tree

    def _at_end(self) -> bool:
        return self._next.kind is Kind.END

    @property
    def _next(self) -> Token:
        return self._tokens[self._index]

    def _take(self) -> Token:
        token = self._next
        if token.kind is not Kind.END:
            self._index += 1
        return token

    def _note(self, token: Token, message: str, cure: str) -> None:
        self.mistakes.append(Mistake(offset=token.span.start, message=message, cure=cure))

    def _span_from(self, start: int) -> Span:
        return Span(start=start, end=self._tokens[self._index - 1].span.end)

    def _expect(self, sign: str, opened: Token) -> None:
        if self._next.is_sign(sign):
            self._take()
        elif self._at_end():
            raise _stop(opened.span.start, "this ( is not closed", "close it with )")
        else:
            raise _Stop(surprise(self._next, value_wanted=False))

    def _nested(self, descend: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise _Stop(_too_deep(self._next.span.start))
        node = descend()
        self._depth -= 1
        return node

    def _disjunction(self) -> Node:
        return self._joined(Word.OR, self._conjunction)

    def _conjunction(self) -> Node:
        return self._joined(Word.AND, self._negation)

    def _joined(self, word: Word, operand: Callable[[], Node]) -> Node:
        start = self._next.span.start
        operands = [operand()]
        while self._next.is_word(word):
            self._take()
            operands.append(operand())
        if len(operands) == 1:
            return operands[0]
        return Junction(word=word, operands=tuple(operands), span=self._span_from(start))

    def _negation(self) -> Node:
        if not self._next.is_word("not"):
            return self._predicate()
        start = self._take().span.start
        operand = self._nested(self._negation)
        return Not(operand=operand, span=self._span_from(start))

    def _predicate(self) -> Node:
        start = self._next.span.start
        left = self._sum()
        negated = self._next.is_word("not")
        if negated:
            self._take()
        node: Node
        if self._next.is_sign(*_COMPARISONS) and not negated:
            comparator = Comparator(self._take().text)
            node = Comparison(comparator=comparator, left=left, right=self._sum(), span=self._span_from(start))
        elif self._next.is_word("like"):
            self._take()
            node = Comparison(comparator=Comparator.LIKE, left=left, right=self._sum(), span=self._span_from(start))
        elif self._next.is_word("between"):
            node = self._between(left, start)
        elif self._next.is_word("in"):
            node = self._in(left, start)
        elif negated:
            raise self._after_not()
        else:
            return self._is(left) if self._next.is_word("is") else left
        node = Not(operand=node, span=node.span) if negated else node
        return self._chained(node) if self._next.is_sign(*_COMPARISONS) else node

    def _after_not(self) -> _Stop:
        cure = "write it before the comparison, or as not between, not in, not like"
        return _stop(self._tokens[self._index - 1].span.start, "this not negates nothing", cure)

    def _between(self, operand: Node, start: int) -> Node:
        token = self._take()
        low = self._sum()
        if not self._next.is_word("and"):
            raise _stop(token.span.start, "between has no and", "write between 1 and 2")
        self._take()
        return Between(operand=operand, low=low, high=self._sum(), span=self._span_from(start))

    def _in(self, operand: Node, start: int) -> Node:
        token = self._take()
        if not self._next.is_sign("("):
            cure = "write in ('a', 'b'); a parameter that is a list cannot be read"
            raise _stop(token.span.start, "in is followed by no list of literals", cure)
        opened = self._take()
        items = [self._item()]
        while self._next.is_sign(","):
            self._take()
            items.append(self._item())
        self._expect(")", opened)
        return In(operand=operand, items=tuple(items), span=self._span_from(start))

    def _item(self) -> Constant:
        start = self._next.span.start
        negative = self._next.is_sign("-")
        if negative:
            self._take()
        token = self._next
        if token.kind is Kind.NUMBER:
            number = self._take().value
            value = -number or 0.0 if negative and isinstance(number, float) else number
            return Constant(value=value, span=self._span_from(start))
        if token.kind is Kind.TEXT and not negative:
            return Constant(value=self._take().value, span=token.span)
        constant = None if negative else self._constant()
        if constant is not None:
            return constant
        if token.kind is Kind.WORD and not token.is_word(*GRAMMAR_WORDS, *REFUSED_WORDS):
            self._take()
            raise _Stop(no_literal(token, dotted=self._next.is_sign(".", "(")))
        raise _Stop(surprise(token, value_wanted=True))

    def _constant(self) -> Constant | None:
        """Take the word of a literal, if there is one."""
        token = self._next
        if not token.is_word("true", "false", "null"):
            return None
        self._take()
        if token.is_word("null"):
            self._note(token, "there is no NULL in a condition", NO_NULL)
            return Constant(value=None, span=token.span)
        return Constant(value=token.is_word("true"), span=token.span)

    def _is(self, left: Node) -> Node:
        """Report `is …` and step over it, so that the rest is checked as well."""
        token = self._take()
        negated = self._next.is_word("not")
        if negated:
            self._take()
        if not self._next.is_word("null", "true", "false"):
            raise _Stop(surprise(token, value_wanted=False))
        word = self._take().text.lower()
        cure = NO_NULL if word == "null" else "write the condition itself, or not before it"
        self._note(token, f"there is no IS {'NOT ' if negated else ''}{word.upper()} in a condition", cure)
        return Constant(value=None, span=self._span_from(left.span.start))

    def _chained(self, left: Node) -> Node:
        self._note(self._next, "comparisons do not chain", "write a < b and b < c, or between")
        while self._next.is_sign(*_COMPARISONS):
            self._take()
            self._sum()
        return Constant(value=None, span=self._span_from(left.span.start))

    def _sum(self) -> Node:
        return self._operation(("+", "-"), self._product)

    def _product(self) -> Node:
        return self._operation(("*", "/"), self._unary)

    def _operation(self, signs: tuple[str, str], operand: Callable[[], Node]) -> Node:
        start = self._next.span.start
        node = operand()
        while self._next.is_sign(*signs):
            sign = ArithmeticSign(self._take().text)
            node = Arithmetic(sign=sign, left=node, right=operand(), span=self._span_from(start))
        return node

    def _unary(self) -> Node:
        if not self._next.is_sign("-"):
            return self._primary()
        start = self._take().span.start
        operand = self._nested(self._unary)
        return Negative(operand=operand, span=self._span_from(start))

    def _primary(self) -> Node:
        token = self._next
        match token.kind:
            case Kind.NUMBER | Kind.TEXT:
                return Constant(value=self._take().value, span=token.span)
            case Kind.WORD:
                return self._named(token)
            case Kind.SIGN if token.text == "(":
                self._take()
                inner = self._nested(self._disjunction)
                self._expect(")", token)
                return replace(inner, span=self._span_from(token.span.start))
            case _:
                raise _Stop(surprise(token, value_wanted=True))

    def _named(self, token: Token) -> Node:
        constant = self._constant()
        if constant is not None:
            return constant
        if token.is_word(*GRAMMAR_WORDS, *REFUSED_WORDS):
            raise _Stop(surprise(token, value_wanted=True))
        self._take()
        if self._next.is_sign("("):
            return self._call(token)
        if self._next.is_sign("."):
            return self._dotted(token)
        return ColumnRead(name=token.text, span=token.span)

    def _call(self, name: Token) -> Node:
        opened = self._take()
        arguments: list[Node] = []
        if not self._next.is_sign(")"):
            arguments.append(self._nested(self._disjunction))
            while self._next.is_sign(","):
                self._take()
                arguments.append(self._nested(self._disjunction))
        self._expect(")", opened)
        span = self._span_from(name.span.start)
        return Call(function=name.text.lower(), arguments=tuple(arguments), span=span)

    def _dotted(self, scope: Token) -> Node:
        self._take()
        if self._next.kind is not Kind.WORD:
            shown = untrusted(scope.text, characters_max=SHOWN_CHARACTERS_MAX)
            raise _stop(scope.span.start, f"{shown}. is followed by no name", "write params.name or signal.column")
        name = self._take().text
        span = self._span_from(scope.span.start)
        if self._next.is_sign("."):
            raise _stop(scope.span.start, "a name has at most two parts", "write params.name or signal.column")
        if scope.text == "params":
            return ParamRead(name=name, span=span)
        return OtherRead(signal=scope.text, column=name, span=span)
