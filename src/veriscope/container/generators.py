"""Which generator do the file's texts declare, and with what settings?

Trace: programs that run diffusion models write their settings into the picture so that it can be made again: PNG text
chunks, the EXIF user comment of JPEG and WebP, XMP, or the lowest bits of the alpha channel. Any re-encoding removes
them, and anyone can write them into a photograph. Each format is read as its program documents it; the texts come from
strangers, so JSON is parsed with limits and nothing is executed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from veriscope.container import comfyui
from veriscope.container.blocks import blocks
from veriscope.container.fields import Fields, fields
from veriscope.container.metadata import DESCRIPTION, MAKE, MODEL, SOFTWARE, USER_COMMENT
from veriscope.container.stealth import hidden_text
from veriscope.container.wording import present, quoted
from veriscope.evidence import Declaration
from veriscope.picture import Picture

JSON_LIMIT = 8_000_000  # characters; ComfyUI's largest workflows are about 2 MB
PARAMETERS_LIMIT = 200_000  # characters of a parameters text; prompts of 20 kB exist

Texts = dict[str, str]
_SETTING = re.compile(r'\s*(\w[\w \-/+]*?):\s*("(?:\\.|[^"\\])*"|[^,"]*)(?:,|$)')
_JOB = re.compile(r"\s*\bJob ID: ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE)


def declared_generator(picture: Picture) -> list[Declaration]:
    """One declaration for each generator whose settings the file carries."""
    read = fields(picture)
    texts = _texts(read)
    if hidden := hidden_text(picture, blocks(picture).png_colour):
        texts["hidden"] = hidden
    found = []
    for reader in _READERS:
        if declaration := reader(texts):
            found.append(declaration)
            break  # programs also write each other's formats for compatibility; the most particular one comes first
    if hidden and found:
        found[0].details["hidden_in"] = "the lowest bits of the pixels"
    return found


def _texts(read: Fields) -> Texts:
    """Every place a generator writes to, by one set of names; the first of a name wins."""
    texts: Texts = {}
    for key, value in read.texts:
        texts.setdefault(key, value)
    comment = read.exif_text(USER_COMMENT) or read.xmp_text("exif:UserComment")
    for key, value in (
        ("UserComment", comment),
        ("ImageDescription", read.exif_text(DESCRIPTION)),
        ("XmpDescription", read.xmp_text("dc:description")),
        ("Software", read.exif_text(SOFTWARE)),
        ("CreatorTool", read.xmp_text("xmp:CreatorTool")),
        ("Author", read.xmp_text("dc:creator")),
    ):
        if value:
            texts.setdefault(key, value)
    for tag in (MAKE, MODEL, DESCRIPTION):  # ComfyUI's WebP: "workflow:{...}" and "prompt:{...}" in descending tags
        name, colon, value = read.exif_text(tag).partition(":")
        if colon and name in ("prompt", "workflow") and value.lstrip().startswith("{"):
            texts.setdefault(name, value)
    return texts


def parse_json(text: str) -> dict[str, Any] | None:
    """``text`` as a JSON object, or None where it is none or is too large."""
    if len(text) > JSON_LIMIT or not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _declare(program: str, model: object = None, prompt: object = None, **values: Any) -> Declaration:
    said = f"The file declares that it was generated with {program}"
    said += f" using the model {quoted(model)}" if model else ""
    said += f", from the prompt {quoted(prompt)}." if prompt else "."
    details = present(program=program, model=model, prompt=prompt, **values)
    return Declaration(kind="generator", state="declared", says=said, details=details)


def _swarmui(texts: Texts) -> Declaration | None:
    for key in ("parameters", "UserComment"):
        value = parse_json(texts.get(key, ""))
        inner = value.get("sui_image_params") if value else None
        if isinstance(inner, dict):
            return _declare("SwarmUI", inner.get("model"), inner.get("prompt"), **_settings(inner), parameters=inner)
    return None


def _fooocus(texts: Texts) -> Declaration | None:
    scheme, software = texts.get("fooocus_scheme", ""), texts.get("Software", "")
    if not scheme and not software.startswith("Fooocus"):
        return None
    text = texts.get("parameters") or texts.get("UserComment", "")
    value = parse_json(text)
    if value is None:
        parsed = parse_parameters(text)
        return _declare("Fooocus", scheme=scheme, **parsed) if parsed else _declare("Fooocus", scheme=scheme)
    model = value.get("base_model") or value.get("Base Model")
    prompt = value.get("prompt") or value.get("Prompt")
    return _declare("Fooocus", model, prompt, scheme=scheme, **_settings(value), parameters=value)


def _invokeai(texts: Texts) -> Declaration | None:
    if value := parse_json(texts.get("invokeai_metadata", "")):
        model = value.get("model")
        name = (model.get("name") or model.get("model_name")) if isinstance(model, dict) else model
        prompt = value.get("positive_prompt")
        return _declare(
            "InvokeAI", name, prompt, **_settings(value), version=value.get("app_version"), parameters=value
        )
    if value := parse_json(texts.get("sd-metadata", "")):
        image = value.get("image")
        image = image if isinstance(image, dict) else {}
        prompt = image.get("prompt")
        if isinstance(prompt, list) and prompt and isinstance(prompt[0], dict):
            prompt = prompt[0].get("prompt")
        version = value.get("app_version")
        return _declare(
            "InvokeAI", value.get("model_weights"), prompt, **_settings(image), version=version, parameters=value
        )
    if dream := re.match(r'\s*"(.{0,20000}?)"((?:\s+-\w+\s*\S+)+)', texts.get("Dream", ""), re.DOTALL):
        given = dict(re.findall(r"-(\w)\s*(\S+)", dream[2]))
        return _declare(
            "InvokeAI",
            prompt=dream[1],
            steps=given.get("s"),
            seed=given.get("S"),
            cfg_scale=given.get("C"),
            sampler=given.get("A"),
        )
    return None


def _novelai(texts: Texts) -> Declaration | None:
    hidden = parse_json(texts.get("hidden", ""))
    carried = {k: v for k, v in hidden.items() if isinstance(v, str)} if hidden and "Comment" in hidden else texts
    if "novelai" not in f"{carried.get('Software', '')} {carried.get('Source', '')}".lower():
        return None
    value = parse_json(carried.get("Comment", "")) or {}
    prompt = carried.get("Description") or value.get("prompt")
    return _declare("NovelAI", carried.get("Source"), prompt, **_settings(value), parameters=value)


def _comfyui(texts: Texts) -> Declaration | None:
    prompt, workflow = parse_json(texts.get("prompt", "")), parse_json(texts.get("workflow", ""))
    parsed = comfyui.parse(prompt, workflow)
    return _declare("ComfyUI", **parsed) if parsed else None


def _draw_things(texts: Texts) -> Declaration | None:
    value = parse_json(texts.get("UserComment", ""))
    if value is None or "draw things" not in f"{texts.get('CreatorTool', '')} {texts.get('Software', '')}".lower():
        return None
    return _declare(
        "Draw Things",
        value.get("model"),
        value.get("c"),
        **_settings(value),
        parameters=value,
    )


def _mflux(texts: Texts) -> Declaration | None:
    for key in ("UserComment", "ImageDescription", "Comment"):
        value = parse_json(texts.get(key, ""))
        if value and "mflux_version" in value:
            version = value["mflux_version"]
            return _declare("mflux", value.get("model"), value.get("prompt"), **_settings(value), version=version)
    return None


def _easy_diffusion(texts: Texts) -> Declaration | None:
    if "use_stable_diffusion_model" not in texts:
        return None
    values: dict[str, Any] = dict(texts)
    model = texts["use_stable_diffusion_model"]
    return _declare("Easy Diffusion", model, texts.get("prompt"), **_settings(values))


def _midjourney(texts: Texts) -> Declaration | None:
    for key in ("Description", "ImageDescription", "XmpDescription"):
        if found := _JOB.search(texts.get(key, "")[:PARAMETERS_LIMIT]):
            prompt = texts[key][: found.start()].strip()
            author = texts.get("Author")
            return _declare("Midjourney", prompt=prompt, job=found[1], author=author)
    return None


def _automatic1111(texts: Texts) -> Declaration | None:
    for key in ("parameters", "UserComment", "Comment", "comment", "ImageDescription", "hidden"):
        if parsed := parse_parameters(texts.get(key, "")):
            return _declare(_dialect(parsed["settings"]), **parsed)
    return None


def _dialect(settings: dict[str, str]) -> str:
    """The program that wrote a parameters text, told by the version and the settings that only it writes."""
    version = settings.get("Version", "")
    if settings.get("App", "").lower().startswith("sd.next"):
        return "SD.Next"
    if "comfy" in version.lower():
        return "ComfyUI"
    if "Civitai resources" in settings or "Civitai metadata" in settings:
        return "Civitai's generator"
    if re.match(r"(f\d|forge|neo)", version, re.IGNORECASE):
        return "Stable Diffusion WebUI Forge"
    if re.match(r"sd\.?cpp|stable-diffusion\.cpp", version, re.IGNORECASE):
        return "stable-diffusion.cpp"
    return "Stable Diffusion WebUI (AUTOMATIC1111) or a program that writes its format"


def parse_parameters(text: str) -> dict[str, Any] | None:
    """A parameters text as the AUTOMATIC1111 web UI writes it: prompt, negative prompt, and a line of settings.

    >>> parse_parameters("a cat\\nNegative prompt: dog\\nSteps: 20, Sampler: Euler, Seed: 1")["negative_prompt"]
    'dog'
    """
    text = text[:PARAMETERS_LIMIT]
    start = max(text.rfind("\nSteps: "), 0 if text.startswith("Steps: ") else -1)
    if start < 0:
        return None
    settings = {k.strip(): v.strip().strip('"') for k, v in _SETTING.findall(text[start:].strip()[:20_000])}
    if not re.fullmatch(r"\d+", settings.get("Steps", "")) or not settings.keys() & {
        "Sampler",
        "Seed",
        "CFG scale",
        "Model",
    }:
        return None
    prompt, _, negative = text[:start].partition("Negative prompt:")
    return {
        "prompt": prompt.strip(),
        "negative_prompt": negative.strip(),
        "model": settings.get("Model", ""),
        "model_hash": settings.get("Model hash"),
        "steps": settings.get("Steps"),
        "sampler": settings.get("Sampler"),
        "cfg_scale": settings.get("CFG scale") or settings.get("Guidance"),
        "seed": settings.get("Seed"),
        "size": settings.get("Size"),
        "settings": settings,
    }


_NAMES = {
    "negative_prompt": ("negative_prompt", "negativeprompt", "Negative Prompt", "uc"),
    "seed": ("seed", "Seed"),
    "steps": ("steps", "num_inference_steps", "Steps"),
    "sampler": ("sampler", "sampler_name", "scheduler", "Sampler"),
    "cfg_scale": ("cfg_scale", "cfgscale", "guidance_scale", "guidance", "scale", "Guidance Scale"),
}


def _settings(value: dict[str, Any]) -> dict[str, Any]:
    """The settings that every program has, under one set of names."""
    return {name: next((value[key] for key in keys if key in value), None) for name, keys in _NAMES.items()}


def _named_only(texts: Texts) -> Declaration | None:
    """Programs that leave their name but no settings known here."""
    software = f"{texts.get('Software', '')} {texts.get('CreatorTool', '')}"
    found = next((name for name in _programs(software)), None)
    return _declare(found) if found else None


def _programs(software: str) -> Iterator[str]:
    for name in (
        "Stable Diffusion",
        "ComfyUI",
        "InvokeAI",
        "Midjourney",
        "Draw Things",
        "Fooocus",
        "Ideogram",
        "Leonardo.Ai",
    ):
        if re.search(rf"\b{re.escape(name)}", software, re.IGNORECASE):
            yield name


_READERS: tuple[Callable[[Texts], Declaration | None], ...] = (
    _swarmui,
    _fooocus,
    _invokeai,
    _novelai,
    _draw_things,
    _mflux,
    _easy_diffusion,
    _automatic1111,
    _comfyui,
    _midjourney,
    _named_only,
)
