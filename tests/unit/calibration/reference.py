"""Answers of the Python packages `tokenizers` and `transformers` for parity_test.cpp.

    python reference.py REQUEST.json REPLY.json

The request has "tokenizers" (paths), "texts", "chats" ("template", a path, "messages" and "tools") and "special" (template
variables).
"""

import json
import sys

from tokenizers import Tokenizer
from transformers.utils.chat_template_utils import render_jinja_template


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    ids = []
    for path in request["tokenizers"]:
        tokenizer = Tokenizer.from_file(path)
        ids.append([tokenizer.encode(text, add_special_tokens=True).ids for text in request["texts"]])
    rendered = []
    for chat in request["chats"]:
        with open(chat["template"], encoding="utf-8", newline="") as file:
            template = file.read()
        for generation in (False, True):
            texts, _ = render_jinja_template([chat["messages"]], tools=chat["tools"], chat_template=template,
                                             add_generation_prompt=generation, **request["special"])
            rendered.extend(texts)
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump({"ids": ids, "rendered": rendered}, file)


if __name__ == "__main__":
    main()
