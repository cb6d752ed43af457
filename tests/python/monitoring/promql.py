"""Which metrics and labels an expression of Prometheus names. Not a parser: a reader of tokens that knows enough."""

import re

WORDS = {"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan"}
# A list of labels follows these.
LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
TOKEN = re.compile(r"""
    (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*') | (?P<range>\[[^\]]*\]) | (?P<number>\b\d[\w.]*)
    | (?P<name>[a-zA-Z_:][\w:]*) | (?P<other>\S)""", re.VERBOSE)


def names(expr: str) -> dict[str, set[str]]:
    """Each metric with the labels its selectors name; under "" those that lists name (by, on, …)."""
    tokens = [(m.lastgroup, m.group()) for m in TOKEN.finditer(expr)]
    found: dict[str, set[str]] = {"": set()}
    at = 0
    while at < len(tokens):
        kind, token = tokens[at]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        if kind == "name" and token in LISTS:
            at += 1
            if following == "(":
                while tokens[at][1] != ")":
                    found[""] |= {tokens[at][1]} if tokens[at][0] == "name" else set()
                    at += 1
        elif kind == "name" and token not in WORDS and following not in ("(", "by", "without"):
            labels = found.setdefault(token, set())
            if following == "{":
                while tokens[at][1] != "}":
                    at += 1
                    if tokens[at][0] == "name":
                        labels.add(tokens[at][1])
        at += 1
    return found


if __name__ == "__main__":
    assert names('sum by (le, a) (rate(m_bucket{x=~"y{z",w!="v"}[5m] offset 1h)) / on (q) group_left () n > 0.9 and o') == {
        "": {"le", "a", "q"}, "m_bucket": {"x", "w"}, "n": set(), "o": set(),
    }
