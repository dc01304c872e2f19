"""Networks of torchvision, timm and transformers with random weights: exported by torch.export, converted by wherry, and run in
LiteRT against PyTorch. Prints one line of JSON for each.

    zoo.py --list
    zoo.py WHERRY FOLDER NETWORK …
"""

import json
import os
import re
import subprocess
import sys
import time
import warnings
from collections import defaultdict
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TF_CPP_MIN_LOG_LEVEL": "3"}
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402

# PyPI's torchvision is built for CUDA: without its library the operators that it declares are missing.
for name in ("nms", "qnms"):
    torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
for name in ("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d"):
    for variant in (name, f"_{name}_backward"):
        torch.library.define(f"torchvision::{variant}", "(Tensor x) -> Tensor")

import timm  # noqa: E402
import torchvision  # noqa: E402
import transformers  # noqa: E402
from ai_edge_litert.interpreter import Interpreter  # noqa: E402

# ---- torchvision: classification, segmentation, video and optical flow but for the largest of each family

LARGE = re.compile(
    "vit_[lh]|_(128|32|16|8|3_2|1_6)gf|wide_|convnext_(base|large)|efficientnet_(b[3-7]|v2_l)|resnet1|vgg1[369]|resnext101|densenet(161|201)"
)


def torchvision_names():
    kinds = ("detection", "quantization")
    modules = {name: torchvision.models.get_model_builder(name).__module__ for name in torchvision.models.list_models()}
    return [name for name, module in modules.items() if not LARGE.search(name) and not any(kind in module for kind in kinds)]


def torchvision_network(name):
    builder = torchvision.models.get_model_builder(name)
    bare = {"weights_backbone": None} if "segmentation" in builder.__module__ else {}
    network = torchvision.models.get_model(name, weights=None, **bare)
    if "optical_flow" in builder.__module__:
        return network, (torch.rand(1, 3, 128, 128), torch.rand(1, 3, 128, 128))
    if "video" in builder.__module__:
        size = 224 if re.search("swin|mvit|s3d", name) else 112
        return network, (torch.randn(1, 3, 16, size, size),)
    size = 299 if name == "inception_v3" else 224
    return network, (torch.randn(1, 3, size, size),)


# ---- timm: the smallest network of each file

SMALL = ("tiny", "nano", "atto", "femto", "pico", "small", "_xs", "_s", "18", "26", "t0", "b0", "micro", "_t")


def timm_names():
    files = defaultdict(list)
    for name in timm.list_models():
        files[timm.models._registry._model_to_module[name]].append(name)
    sizes = {name: next((i for i, word in enumerate(SMALL) if word in name), len(SMALL)) for names in files.values() for name in names}
    return [min(names, key=lambda name: (sizes[name], len(name), name)) for _, names in sorted(files.items())]


def timm_network(name):
    network = timm.create_model(name, pretrained=False)
    return network, (torch.randn(1, *network.default_cfg["input_size"]),)


# ---- transformers: architectures in miniature

WIDTH = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
TEXT = WIDTH | {"vocab_size": 99}
DECODER = {"decoder_layers": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 48}
BOTH = {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 48, "vocab_size": 99} | DECODER
SEQUENCE = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
WINDOWS = {"image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4}
VISION = WIDTH | {"image_size": 32, "patch_size": 8}
STAGES = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
SPEECH = TEXT | {"conv_dim": [16, 16], "conv_kernel": [10, 3], "conv_stride": [5, 2], "num_feat_extract_layers": 2}
SPEECH |= {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
ONE_HEAD = TEXT | {"num_key_value_heads": 1}
# model, configuration, inputs
TRANSFORMERS = {
    "bert": ("BertModel", TEXT, "text"),
    "bert_classifier": ("BertForSequenceClassification", TEXT, "text"),
    "roberta": ("RobertaModel", TEXT, "text"),
    "distilbert": ("DistilBertModel", {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "vocab_size": 99}, "text"),
    "albert": ("AlbertModel", TEXT | {"embedding_size": 16}, "text"),
    "electra": ("ElectraModel", TEXT | {"embedding_size": 16}, "text"),
    "mobilebert": (
        "MobileBertModel",
        TEXT | {"intra_bottleneck_size": 16, "embedding_size": 16, "true_hidden_size": 16},
        "text",
    ),
    "deberta_v2": ("DebertaV2Model", TEXT | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}, "text"),
    "mpnet": ("MPNetModel", TEXT, "text"),
    "squeezebert": ("SqueezeBertModel", TEXT | {"embedding_size": 32}, "text"),
    "modernbert": ("ModernBertModel", TEXT | {"pad_token_id": 0, "local_attention": 8}, "text"),
    "layoutlm": ("LayoutLMModel", TEXT, "text"),
    "clip_text": ("CLIPTextModel", TEXT | {"eos_token_id": 2}, "text"),
    "gpt2": ("GPT2LMHeadModel", {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 99}, "text"),
    "gpt_neox": ("GPTNeoXForCausalLM", TEXT, "text"),
    "llama": ("LlamaForCausalLM", ONE_HEAD, "text"),
    "qwen2": ("Qwen2ForCausalLM", ONE_HEAD, "text"),
    "qwen3": ("Qwen3ForCausalLM", ONE_HEAD | {"head_dim": 16}, "text"),
    "gemma2": ("Gemma2ForCausalLM", ONE_HEAD | {"head_dim": 16}, "text"),
    "phi": ("PhiForCausalLM", TEXT, "text"),
    "mistral": ("MistralForCausalLM", ONE_HEAD, "text"),
    "olmo2": ("Olmo2ForCausalLM", ONE_HEAD, "text"),
    "bloom": ("BloomForCausalLM", {"hidden_size": 32, "n_layer": 2, "n_head": 2, "vocab_size": 99}, "text"),
    "mamba": ("MambaForCausalLM", {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 99, "state_size": 4}, "text"),
    "opt": (
        "OPTForCausalLM",
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 48, "vocab_size": 99, "word_embed_proj_dim": 32},
        "text",
    ),
    "t5": ("T5Model", {"d_model": 32, "num_layers": 2, "num_heads": 2, "d_ff": 48, "vocab_size": 99, "d_kv": 16}, "pair"),
    "bart": ("BartModel", BOTH | SEQUENCE, "pair"),
    "whisper": ("WhisperModel", BOTH | SEQUENCE | {"num_mel_bins": 16, "max_source_positions": 20}, "spectrum"),
    "wav2vec2": ("Wav2Vec2Model", SPEECH, "sound"),
    "hubert": ("HubertModel", SPEECH, "sound"),
    "ast": ("ASTModel", WIDTH | {"max_length": 64, "num_mel_bins": 32}, "frames"),
    "vit": ("ViTModel", VISION, 32),
    "deit": ("DeiTModel", VISION, 32),
    "dinov2": ("Dinov2Model", VISION, 32),
    "yolos": ("YolosForObjectDetection", WIDTH | {"image_size": [32, 32], "patch_size": 8}, 32),
    "clip_vision": ("CLIPVisionModel", VISION, 32),
    "siglip_vision": ("SiglipVisionModel", VISION, 32),
    "swin": ("SwinModel", WINDOWS, 32),
    "swin_v2": ("Swinv2Model", WINDOWS, 32),
    "resnet": ("ResNetModel", STAGES | {"embedding_size": 8}, 32),
    "segformer": ("SegformerForSemanticSegmentation", STAGES | {"decoder_hidden_size": 16}, 64),
    "poolformer": ("PoolFormerModel", STAGES, 64),
    "convnext_v2": ("ConvNextV2Model", STAGES, 64),
    "levit": ("LevitModel", {}, 224),
    "pvt": ("PvtModel", {"hidden_sizes": [8, 16, 24, 32], "num_attention_heads": [1, 2, 2, 2]}, 224),
    "patchtst": (
        "PatchTSTModel",
        {"num_input_channels": 2, "context_length": 16, "patch_length": 4, "patch_stride": 4, "d_model": 16, "num_hidden_layers": 1}
        | {"num_attention_heads": 2, "ffn_dim": 24},
        "series",
    ),
}


class ByPosition(torch.nn.Module):
    def __init__(self, network, names, options):
        super().__init__()
        self.network, self.names, self.options = network, names, options

    def forward(self, *inputs):
        return self.network(**dict(zip(self.names, inputs, strict=True)), **self.options, return_dict=True)[0]


def transformers_network(name):
    kind, settings, takes = TRANSFORMERS[name]
    model = getattr(transformers, kind)
    network = model(model.config_class(**settings))
    tokens, mask = torch.randint(3, 90, (1, 12)), torch.ones(1, 12, dtype=torch.long)
    inputs = {
        "text": {"input_ids": tokens, "attention_mask": mask},
        "pair": {"input_ids": tokens, "decoder_input_ids": tokens},
        "spectrum": {"input_features": torch.randn(1, 16, 40), "decoder_input_ids": tokens},
        "sound": {"input_values": torch.randn(1, 400)},
        "frames": {"input_values": torch.randn(1, 64, 32)},
        "series": {"past_values": torch.randn(1, 16, 2)},
    }
    given = inputs[takes] if takes in inputs else {"pixel_values": torch.randn(1, 3, takes, takes)}
    options = {"use_cache": False} if "ForCausalLM" in kind or takes in ("pair", "spectrum") or name == "gpt2" else {}
    return ByPosition(network, list(given), options), tuple(given.values())


FAMILIES = {
    "torchvision": (torchvision_names, torchvision_network),
    "timm": (timm_names, timm_network),
    "transformers": (lambda: list(TRANSFORMERS), transformers_network),
}

# ---- one network


def tensors(tree):
    return [leaf for leaf in torch.utils._pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def largest_error(expected, found):
    """Of any element, of the greatest magnitude in PyTorch's output; outputs are told apart by their shapes and their order."""
    worst = 0.0
    for tensor in expected:
        at = next(i for i, array in enumerate(found) if array.shape == tuple(tensor.shape))
        array = found.pop(at)
        scale = max(float(tensor.abs().max()), 1e-30)
        worst = max(worst, float(np.abs(array.astype(np.float64) - tensor.double().numpy()).max()) / scale)
    return worst


def run_file(file, inputs):
    signature = Interpreter(str(file), num_threads=2).get_signature_runner()
    left, given = [tensor.numpy() for tensor in inputs], {}
    for name, detail in signature.get_input_details().items():
        fits = [tuple(detail["shape"]) == array.shape and detail["dtype"] == array.dtype for array in left]
        given[name] = left.pop(fits.index(True))
    results = signature(**given)
    return [results[name] for name in sorted(results, key=lambda name: [int(part) for part in re.findall(r"\d+", name)])]


def try_network(wherry, folder, network):
    family, name = network.split("/", 1)
    torch.manual_seed(0)
    module, inputs = FAMILIES[family][1](name)
    module.eval()
    archive, file = folder / "network.pt2", folder / "network.tflite"
    try:
        torch.export.save(torch.export.export(module, inputs, strict=False), archive)
    except Exception as error:
        return {"stage": "torch.export", "said": f"{type(error).__name__}: {error}"[:300]}
    with torch.no_grad():
        expected = tensors(module(*inputs))
    start = time.perf_counter()
    line = [wherry, "convert", archive, "-o", file, "--io", "nchw", "--no-verify"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        return {"stage": "wherry", "said": done.stderr[:600]}
    try:
        found = run_file(file, inputs)
    except Exception as error:
        return {"stage": "LiteRT", "said": f"{type(error).__name__}: {error}"[:300]}
    return {"stage": "done", "seconds": seconds, "error": largest_error(expected, found)}


def main():
    if sys.argv[1:] == ["--list"]:
        print(json.dumps([f"{family}/{name}" for family, (names, _) in FAMILIES.items() for name in names()]))
        return
    wherry, folder, *networks = sys.argv[1:]
    for network in networks:
        try:
            result = try_network(wherry, Path(folder), network)
        except Exception as error:  # the library cannot build it
            result = {"stage": "PyTorch", "said": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps({"network": network, **result}), flush=True)


if __name__ == "__main__":
    main()
