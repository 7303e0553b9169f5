"""ComfyUI's graphs: which models, prompts and sampler settings do they hold?

Two forms exist. "prompt" is what was run: node id to class and inputs, where an input is a value or a link [id, slot].
"workflow" is what was drawn: a list of nodes with the values of their widgets in order. The first is read in full; of
the second, which has no input names, only what the widget's value itself shows.
"""

from __future__ import annotations

import re
from typing import Any

NODE_LIMIT = 5000
LINK_DEPTH = 12  # links followed from a text input to the node that holds the words

Nodes = dict[str, dict[str, Any]]
_MODEL_INPUTS = ("ckpt_name", "unet_name", "model_name", "diffusion_model", "gguf_name")
_ADAPTER_INPUTS = ("lora_name", "control_net_name", "vae_name")
_MODEL_FILE = re.compile(r"[^\n]{1,200}\.(safetensors|ckpt|pt|pth|gguf|sft)$", re.IGNORECASE)
_TEXT_INPUTS = ("text", "text_g", "text_l", "clip_l", "t5xxl", "prompt", "positive", "string", "value", "wildcard_text")
_SAMPLER_INPUTS = {
    "seed": ("seed", "noise_seed"),
    "steps": ("steps",),
    "cfg_scale": ("cfg", "guidance"),
    "sampler": ("sampler_name",),
    "scheduler": ("scheduler",),
    "denoise": ("denoise",),
}


def parse(prompt: dict[str, Any] | None, workflow: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the two graphs declare, or None where neither is one of ComfyUI's."""
    found = _from_prompt(prompt) if prompt else None
    drawn = _from_workflow(workflow) if workflow else None
    if found is None:
        return drawn
    return found | {"has_workflow": drawn is not None}


def _from_prompt(graph: dict[str, Any]) -> dict[str, Any] | None:
    nodes: Nodes = {
        str(key): node
        for key, node in list(graph.items())[:NODE_LIMIT]
        if isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)
    }
    if not nodes:
        return None
    models: list[str] = []
    adapters: list[str] = []
    settings: dict[str, Any] = {}
    positive: list[str] = []
    negative: list[str] = []
    words: list[str] = []
    for key, node in nodes.items():
        inputs = node["inputs"]
        helper = "Upscale" in node["class_type"]
        files = [inputs[name] for name in _MODEL_INPUTS if isinstance(inputs.get(name), str)]
        (adapters if helper else models).extend(files)
        adapters += [inputs[name] for name in _ADAPTER_INPUTS if isinstance(inputs.get(name), str)]
        if "CLIPTextEncode" in node["class_type"]:
            words.append(_words(nodes, key))
        if "positive" in inputs and "negative" in inputs:
            positive.append(_words(nodes, inputs["positive"]))
            negative.append(_words(nodes, inputs["negative"]))
        for name, keys in _SAMPLER_INPUTS.items():
            values = [_number(nodes, inputs[k]) for k in keys if k in inputs]
            if values and values[0] is not None:
                settings.setdefault(name, values[0])
    texts = _distinct(positive) or [text for text in _distinct(words) if text not in negative] or _distinct(words)
    return {
        "model": next(iter(models), None),
        "prompt": next(iter(texts), None),
        "negative_prompt": next(iter(_distinct(negative)), None),
        "models": _distinct(models),
        "adapters": _distinct(adapters),
        "prompts": _distinct(words),
        **settings,
        "nodes": len(nodes),
    }


def _distinct(texts: list[str]) -> list[str]:
    return [text for text in dict.fromkeys(texts) if text]


def _words(nodes: Nodes, source: Any) -> str:
    """The words that reach a node or a link, followed back to where they were typed."""
    for _ in range(LINK_DEPTH):
        if isinstance(source, list):
            source = str(source[0]) if source else ""
        node = nodes.get(source) if isinstance(source, str) else None
        if node is None:
            return ""
        inputs = node["inputs"]
        typed = [inputs[name] for name in _TEXT_INPUTS if isinstance(inputs.get(name), str) and inputs[name].strip()]
        if typed:
            return "\n".join(dict.fromkeys(typed))
        links = [inputs[name] for name in (*_TEXT_INPUTS, "conditioning", "conditioning_1") if name in inputs]
        source = next((link for link in links if isinstance(link, list)), "")
    return ""


def _number(nodes: Nodes, value: Any) -> Any:
    """A setting itself, or the one that the node it is linked to holds."""
    if isinstance(value, list):
        node = nodes.get(str(value[0])) if value else None
        inputs = node["inputs"] if node else {}
        value = next(
            (inputs[k] for k in ("seed", "noise_seed", "value", "int", "float", "number") if k in inputs), None
        )
    return value if isinstance(value, int | float | str) else None


def _from_workflow(workflow: dict[str, Any]) -> dict[str, Any] | None:
    nodes = workflow.get("nodes")
    if not isinstance(nodes, list):
        return None
    known = [node for node in nodes[:NODE_LIMIT] if isinstance(node, dict) and isinstance(node.get("type"), str)]
    if not known:
        return None
    files: list[str] = []
    words: list[str] = []
    for node in known:
        values = node.get("widgets_values")
        values = list(values.values()) if isinstance(values, dict) else values if isinstance(values, list) else []
        texts = [value for value in values if isinstance(value, str)]
        files += [text for text in texts if _MODEL_FILE.match(text)]
        if "TextEncode" in node["type"]:
            words += [text for text in texts if text.strip()]
    return {
        "model": next(iter(files), None),
        "prompt": next(iter(words), None),
        "models": _distinct(files),
        "prompts": _distinct(words),
        "nodes": len(known),
        "has_workflow": True,
    }
