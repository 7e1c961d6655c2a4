"""Trains small tokenizers of several kinds for text_encoder_test.cpp.

    python train_tokenizers.py TEXT FOLDER

Writes FOLDER/NAME.json for each kind: with and without words that are split off before, and with what the normalizers of
sentencepiece models do to the beginning of a text.
"""

import sys
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

VOCAB = 1500


def byte_level() -> tuple[Tokenizer, trainers.Trainer]:  # GPT-2 and most of what came after
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, trainers.BpeTrainer(vocab_size=VOCAB, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())


def prefix_space() -> tuple[Tokenizer, trainers.Trainer]:  # RoBERTa
    tokenizer, trainer = byte_level()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.add_special_tokens(["<s>", "</s>", AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=True)
    return tokenizer, trainer


def sentence_bpe() -> tuple[Tokenizer, trainers.Trainer]:  # Llama 2: one word, with a space in front
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    return tokenizer, trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=["<unk>"], max_token_length=12)


def unigram_words() -> tuple[Tokenizer, trainers.Trainer]:  # T5, XLM-R
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    return tokenizer, trainers.UnigramTrainer(vocab_size=VOCAB, special_tokens=["<unk>"], unk_token="<unk>")


def word_piece() -> tuple[Tokenizer, trainers.Trainer]:  # BERT
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer, trainers.WordPieceTrainer(vocab_size=VOCAB, special_tokens=["[UNK]"])


def main() -> None:
    text, folder = Path(sys.argv[1]).read_text(encoding="utf-8"), Path(sys.argv[2])
    for kind in (byte_level, prefix_space, sentence_bpe, unigram_words, word_piece):
        tokenizer, trainer = kind()
        trainer.show_progress = False
        tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
        tokenizer.save(str(folder / f"{kind.__name__}.json"))


if __name__ == "__main__":
    main()
