"""Writes metadata.yaml texts, one JSON object a line: {"text": ..., "value": ...}.

PyYAML writes random metadata in every style that it has ("valid": true), and each text is then
damaged in some places. "value" is what PyYAML reads from the text, every scalar as its text; null
if PyYAML refuses the text.
"""

import json
import random
import re
import sys

import yaml

random = random.Random(int(sys.argv[1]))


class Loader(yaml.BaseLoader):
    """Reads every scalar as its text, null as no text."""


Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^(~|null|Null|NULL|)$"), ["~", "n", "N", ""])
Loader.add_constructor("tag:yaml.org,2002:null", lambda loader, node: "")
words = ["amd64", "Debian", "trixie", "a b", "it's", 'say "x"', "#no", "a #b", "a: b", "a:b", "- x", "-x", "", " ", " lead", "trail ",
         "null", "~", "true", "12", "0x1f", "1e3", "2026-08-29", "20260829_05:24", "{}", "[a]", "a,b", "ä", "\u20ac", "\U0001f600", "tab\there",
         "two\nlines", "end\n", "\n\nx", "x\n\n", "%a", "@a", "`a", "&a", "*a", "!a", "|", ">", "?", ":", "a?", "=", "<<", "...", "---", "\\", "\\n", "\x07",
         "Ubuntu 24.04 LTS server (20260829) with a description that is longer than a line of eighty columns is"]


def word():
    if random.random() < 0.3:
        return "".join(random.choice("abc :#-,'\"{}[]\n\\&*!|>%@`?\t.~=\u00e4") for _ in range(random.randrange(8)))
    return random.choice(words)


def mapping():
    return {word(): word() for _ in range(random.randrange(5))}


def metadata():
    value = {"architecture": word(), "properties": mapping()}
    if random.random() < 0.7:
        value["templates"] = {
            "/" + word(): {"when": random.sample(["create", "copy", "start"], random.randrange(4)), "template": random.choice(["hostname.tpl", "a b.tpl", "x"]),
                           "properties": mapping()}
            for _ in range(random.randrange(3))}
    return value


def damaged(text):
    text = list(text)
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(text) + 1)
        kind = random.randrange(4)
        if kind == 0:
            del text[at:at + 1]
        elif kind == 1:
            text.insert(at, random.choice(" \n:#-,'\"{}[]\\&*!|>%@`?\t~a"))
        elif kind == 2:
            text[at:at] = random.choice(["\n", "\n  ", ": ", " #", "- ", "\n\n", "|\n", "---\n", "{}", "a: b\n"])
        else:
            other = random.randrange(len(text) + 1)
            text[at:at] = text[other:other + random.randrange(20)]
    return "".join(text)


def plain(value):
    """Keys must be texts; PyYAML would take two equal keys."""
    if isinstance(value, dict):
        return all(isinstance(k, str) for k in value) and all(plain(v) for v in value.values())
    return isinstance(value, str) or isinstance(value, list) and all(plain(v) for v in value)


def emit(text, valid):
    try:
        value = yaml.load(text, Loader=Loader)
        if not plain(value if value is not None else ""):
            value = None
        ok = True
    except (yaml.YAMLError, ValueError, UnicodeEncodeError):
        value, ok = None, False
    try:
        print(json.dumps({"text": text, "value": value, "ok": ok, "valid": valid}))
    except UnicodeEncodeError:
        pass


for _ in range(int(sys.argv[2])):
    text = yaml.dump(metadata(), default_flow_style=random.choice([None, True, False]), default_style=random.choice([None, None, "'", '"', "|"]),
                     width=random.choice([20, 80, 1000]), indent=random.choice([2, 4, 6]), allow_unicode=random.random() < 0.5,
                     sort_keys=random.random() < 0.5, explicit_start=random.random() < 0.2, explicit_end=random.random() < 0.2)
    emit(text, True)
    for _ in range(3):
        emit(damaged(text), False)
