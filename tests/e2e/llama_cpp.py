"""The real llama.cpp, through the C functions that the xllamacpp wheel exports."""

import ctypes
import importlib.util
import pathlib

import numpy as np


class Batch(ctypes.Structure):
    _fields_ = [("n_tokens", ctypes.c_int32), ("token", ctypes.POINTER(ctypes.c_int32)), ("embd", ctypes.c_void_p),
                ("pos", ctypes.POINTER(ctypes.c_int32)), ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
                ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))), ("logits", ctypes.POINTER(ctypes.c_int8))]


class ContextParams(ctypes.Structure):
    """Only what is changed here has a name: the rest stays as llama.cpp filled it in."""
    _fields_ = [("n_ctx", ctypes.c_uint32), ("n_batch", ctypes.c_uint32), ("unnamed", ctypes.c_uint8 * 44),
                ("flash_attn_type", ctypes.c_int32), ("more", ctypes.c_uint8 * 48), ("type_k", ctypes.c_int32),
                ("type_v", ctypes.c_int32), ("rest", ctypes.c_uint8 * 400)]


class ModelParams(ctypes.Structure):
    _fields_ = [("all", ctypes.c_uint8 * 512)]


def open_library():
    folder = pathlib.Path(importlib.util.find_spec("xllamacpp").origin).parent
    library = ctypes.CDLL(str(next(folder.glob("xllamacpp*.so"))))
    for name, result, arguments in (
            ("llama_model_default_params", ModelParams, []),
            ("llama_context_default_params", ContextParams, []),
            ("llama_model_load_from_file", ctypes.c_void_p, [ctypes.c_char_p, ModelParams]),
            ("llama_init_from_model", ctypes.c_void_p, [ctypes.c_void_p, ContextParams]),
            ("llama_model_get_vocab", ctypes.c_void_p, [ctypes.c_void_p]),
            ("llama_vocab_n_tokens", ctypes.c_int32, [ctypes.c_void_p]),
            ("llama_batch_init", Batch, [ctypes.c_int32, ctypes.c_int32, ctypes.c_int32]),
            ("llama_batch_free", None, [Batch]),
            ("llama_decode", ctypes.c_int32, [ctypes.c_void_p, Batch]),
            ("llama_get_logits_ith", ctypes.POINTER(ctypes.c_float), [ctypes.c_void_p, ctypes.c_int32]),
            ("llama_tokenize", ctypes.c_int32, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.POINTER(ctypes.c_int32),
                                                ctypes.c_int32, ctypes.c_bool, ctypes.c_bool]),
            ("llama_free", None, [ctypes.c_void_p]),
            ("llama_model_free", None, [ctypes.c_void_p]),
            ("llama_log_set", None, [ctypes.c_void_p, ctypes.c_void_p])):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class LlamaCpp:
    """One model file. `messages` is what llama.cpp said while it was loaded and run."""

    library = None

    def __init__(self, path):
        self.messages = ""
        if LlamaCpp.library is None:
            LlamaCpp.library = open_library()
            LlamaCpp.library.llama_backend_init()
        self.listener = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(self._listen)
        self.library.llama_log_set(self.listener, None)
        self.model = self.library.llama_model_load_from_file(str(path).encode(), self.library.llama_model_default_params())
        if not self.model:
            raise RuntimeError(f"llama.cpp does not load {path}:\n{self.messages}")
        self.vocab = self.library.llama_model_get_vocab(self.model)

    def _listen(self, _level, text, _data):
        self.messages += text.decode(errors="replace")

    def close(self):
        self.library.llama_model_free(self.model)

    def tokens(self, text, add_special=False):
        found = (ctypes.c_int32 * (len(text.encode()) + 8))()
        count = self.library.llama_tokenize(self.vocab, text.encode(), len(text.encode()), found, len(found), add_special, True)
        assert count >= 0, f"llama.cpp cuts the text into {-count} tokens"
        return list(found[:count])

    def logits(self, ids):
        """Of one sequence. fp32 [len(ids), vocabulary]"""
        parameters = self.library.llama_context_default_params()
        defaults = (parameters.flash_attn_type, parameters.type_k, parameters.type_v)
        assert defaults == (-1, 1, 1), f"the parameters of this llama.cpp lie elsewhere: {defaults}"
        parameters.n_ctx = parameters.n_batch = max(len(ids), 64)
        parameters.flash_attn_type = parameters.type_k = parameters.type_v = 0  # keys and values in fp32
        context = self.library.llama_init_from_model(self.model, parameters)
        if not context:
            raise RuntimeError(f"llama.cpp makes no context:\n{self.messages}")
        batch = self.library.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for position, token in enumerate(ids):
            batch.token[position], batch.pos[position], batch.logits[position] = token, position, 1
            batch.n_seq_id[position], batch.seq_id[position][0] = 1, 0
        status = self.library.llama_decode(context, batch)
        assert status == 0, f"llama_decode gives {status}:\n{self.messages}"
        size = self.library.llama_vocab_n_tokens(self.vocab)
        rows = [np.ctypeslib.as_array(self.library.llama_get_logits_ith(context, i), (size,)).copy() for i in range(len(ids))]
        self.library.llama_batch_free(batch)
        self.library.llama_free(context)
        return np.stack(rows)
