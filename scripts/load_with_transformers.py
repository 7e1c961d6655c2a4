"""Loads a quantized folder with transformers and compressed-tensors, and lets it say something.

usage: load_with_transformers.py FOLDER
"""
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> int:
    folder = sys.argv[1]
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[kind]:
            print(f"{kind}: {sorted(info[kind])[:5]} ...")
            return 1
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], add_generation_prompt=True, return_tensors="pt",
        return_dict=True)
    with torch.no_grad():
        answer = model.generate(**prompt, max_new_tokens=24, do_sample=False)
    print(f"loaded {type(model).__name__}; no missing, unexpected or mismatched keys")
    print("answer:", tokenizer.decode(answer[0, prompt["input_ids"].shape[1]:], skip_special_tokens=True).strip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
