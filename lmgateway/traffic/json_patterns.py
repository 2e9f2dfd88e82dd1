"""Regular expressions for JSON, which match as much at once as they can. RFC 8259.

The groups are atomic and their first bytes differ, so that no input makes a pattern backtrack for long. None
is `(?:…)*+`, which is wrong in Python 3.11.0 to 3.11.4 (gh-106052).
"""

from __future__ import annotations

import re

SPACE_CHARACTERS = b" \t\n\r"
SPACES = rb"[ \t\n\r]*+"
ESCAPE = rb'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})'
_IN_STRING = rb'(?>(?:[^"\\\x00-\x1f]++|%s)*)' % ESCAPE
_STRING = b'"' + _IN_STRING + b'"'
_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?"
_SCALAR = rb"(?>%s|%s|true|false|null)" % (_STRING, _NUMBER)
_ANY_NAME = _STRING + SPACES + b":" + SPACES


def _list_of(begin: bytes, item: bytes, end: bytes) -> bytes:
    """Return a pattern for a list of items, which has the item's pattern only once."""
    more = rb"(?:,%s(?!%s)|(?=%s))" % (SPACES, end, end)
    return rb"%s%s(?:%s%s%s)*%s" % (begin, SPACES, item, SPACES, more, end)


def _with(value: bytes) -> bytes:
    """Return a pattern for a scalar, or for an array or object of such values."""
    array, members = _list_of(rb"\[", value, rb"\]"), _list_of(rb"\{", _ANY_NAME + value, rb"\}")
    return rb"(?>%s|%s|%s)" % (_SCALAR, array, members)


def run_of(name: bytes, value: bytes) -> re.Pattern[bytes]:
    """Return a pattern for values with a comma behind each."""
    return re.compile(rb"(?>(?:%s%s%s%s,)*)" % (SPACES, name, value, SPACES))


# What is nested more deeply takes more steps.
VALUE = _with(_with(_with(_with(_SCALAR))))
ITEMS, MEMBERS = run_of(b"", VALUE), run_of(_ANY_NAME, VALUE)
# The brackets, and the names, before a value that is nested more deeply.
_OPENINGS = rb"(?>(?:\[%s|\{%s%s)+)" % (SPACES, SPACES, _ANY_NAME)
NEXT_VALUE = re.compile(rb'%s(?:(%s)|(%s|\{)|("))' % (SPACES, VALUE, _OPENINGS))
VALUE_GROUP, OPENINGS_GROUP = 1, 2
NEXT_NAME = re.compile(rb'%s(?:(%s)|("))' % (SPACES, _STRING))
COLON = re.compile(SPACES + b":")
FIRST_MEMBER = re.compile(SPACES + rb'(?:(\})|(?="))')
FIRST_ITEM = re.compile(SPACES + rb"(?:(\])|(?=[^ \t\n\r]))")
AFTER_VALUE = re.compile(rb"%s(?:,|([\]}](?>(?:%s[\]}])*)))" % (SPACES, SPACES))
OBJECT_START = re.compile(SPACES + rb"\{")
ANY_STRING = re.compile(_STRING)
STRING_PART = re.compile(_IN_STRING)
SPACE = re.compile(SPACES)
# RFC 3629
UTF8 = (
    rb"[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|\xed[\x80-\x9f][\x80-\xbf]"
    rb"|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}"
    rb"|\xf4[\x80-\x8f][\x80-\xbf]{2}"
)
