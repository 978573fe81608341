"""mistral-finetune's own way from a file to tokens and masks, timed; runs in its own environment.

    python reference_parser.py CHECKOUT FILE spm|tekken

What `utils.validate_data` and its data loader do with each line: JSON, `build_instruct_sample`
(which validates), `tokenize`. Prints one line of JSON.
"""

import hashlib
import json
import resource
import sys
import time
from array import array


def main() -> None:
    checkout, file, kind = sys.argv[1:4]
    sys.path.insert(0, checkout)
    from finetune.data.tokenize import build_instruct_sample, tokenize
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    tokenizer = MistralTokenizer.v3(is_tekken=kind == "tekken").instruct_tokenizer
    samples = []
    rows = tokens = trained = 0
    hashed = hashlib.sha256()
    spent = cpu = 0.0
    with open(file, encoding="utf-8") as stream:
        while True:
            lines = stream.readlines(1 << 18)
            if not lines:
                break
            wall, used = time.perf_counter(), time.process_time()
            samples = [tokenize(build_instruct_sample(json.loads(x)), tokenizer) for x in lines]
            spent += time.perf_counter() - wall
            cpu += time.process_time() - used
            for sample in samples:  # not timed: what it is compared by
                hashed.update(array("i", sample.tokens).tobytes() + bytes(sample.masks))
                tokens += len(sample.tokens)
                trained += sum(sample.masks)
            rows += len(lines)
    told = {
        "rows": rows,
        "seconds": spent,
        "cpu_s": cpu,
        "tokens": tokens,
        "trained": trained,
        "sha256": hashed.hexdigest(),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
