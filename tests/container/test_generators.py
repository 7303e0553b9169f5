from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import numpy as np
import piexif
import piexif.helper
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from veriscope.container import declarations
from veriscope.container.generators import declared_generator, parse_parameters
from veriscope.container.sources import declared_source_type, declared_vendor_tags
from veriscope.evidence import Declaration
from veriscope.picture import Picture, open_picture

EXAMPLES = Path(__file__).parents[2] / "examples"
PIXELS = (np.add.outer(np.arange(64), np.arange(96))[..., None] + np.zeros(3)).astype(np.uint8)

A1111 = (
    "a cat, (sharp:1.2), <lora:x:0.5>\nsecond line\nNegative prompt: dog, blurry\n"
    "Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 6.5, Seed: 42, Size: 512x768, Model hash: abc123, "
    "Model: dream_v1, "
    'Lora hashes: "x: 1, y: 2", Version: v1.9.4'
)


def png(**texts: str) -> Picture:
    info = PngInfo()
    for key, value in texts.items():
        info.add_itxt(key.replace("__", "-"), value) if not value.isascii() else info.add_text(
            key.replace("__", "-"), value
        )
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, "PNG", pnginfo=info)
    return open_picture(out.getvalue(), name="t.png")


def jpeg(comment: str = "", encoding: str = "unicode", zeroth: dict | None = None, **options) -> Picture:
    exif: dict = {"0th": zeroth or {}}
    if comment:
        exif["Exif"] = {piexif.ExifIFD.UserComment: piexif.helper.UserComment.dump(comment, encoding=encoding)}
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, "JPEG", exif=piexif.dump(exif), **options)
    return open_picture(out.getvalue(), name="t.jpg")


def only(found: list[Declaration]) -> Declaration:
    assert len(found) == 1
    assert found[0].state == "declared"
    assert found[0].says.startswith("The file declares")
    json.dumps(found[0].details, allow_nan=False)
    return found[0]


def check_a1111(found: Declaration) -> None:
    details = found.details
    assert details["prompt"] == "a cat, (sharp:1.2), <lora:x:0.5>\nsecond line"
    assert details["negative_prompt"] == "dog, blurry"
    assert (details["steps"], details["sampler"], details["cfg_scale"]) == ("28", "DPM++ 2M Karras", "6.5")
    assert (details["seed"], details["size"], details["model"]) == ("42", "512x768", "dream_v1")
    assert details["model_hash"] == "abc123"
    assert details["settings"]["Lora hashes"] == "x: 1, y: 2"
    assert "AUTOMATIC1111" in found.says
    assert "dream_v1" in found.says


def test_automatic1111_png() -> None:
    check_a1111(only(declared_generator(png(parameters=A1111))))


@pytest.mark.parametrize("encoding", ["unicode", "ascii"])
def test_automatic1111_jpeg(encoding: str) -> None:
    check_a1111(only(declared_generator(jpeg(A1111, encoding))))


def test_automatic1111_webp() -> None:
    exif = piexif.dump({"Exif": {piexif.ExifIFD.UserComment: piexif.helper.UserComment.dump(A1111, "unicode")}})
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, "WEBP", exif=exif)
    check_a1111(only(declared_generator(open_picture(out.getvalue(), name="t.webp"))))


@pytest.mark.parametrize(
    ("line", "program"),
    [("Version: f2.0.1v1.10.1-previous", "Forge"), ("App: SD.Next", "SD.Next"), ("Version: ComfyUI", "ComfyUI")],
)
def test_dialects(line: str, program: str) -> None:
    text = f"x\nSteps: 4, Sampler: Euler, Seed: 1, {line}"
    assert program in only(declared_generator(png(parameters=text))).details["program"]


@pytest.mark.parametrize("text", ["Steps: follow the path", "a\nSteps: 3 of them were high", "", "Seed: 1"])
def test_ordinary_words_are_no_parameters(text: str) -> None:
    assert parse_parameters(text) is None


GRAPH = {
    "0": {"class_type": "UpscaleModelLoader", "inputs": {"model_name": "upscaler.pth"}},
    "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors"}},
    "2": {"class_type": "PrimitiveString", "inputs": {"value": "a red fox"}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": ["2", 0], "clip": ["9", 0]}},
    "4": {"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "conditioning": ["3", 0]}},
    "5": {"class_type": "CLIPTextEncode", "inputs": {"text": "ugly", "clip": ["9", 0]}},
    "6": {
        "class_type": "KSampler",
        "inputs": {
            "seed": ["7", 0],
            "steps": 20,
            "cfg": 1.0,
            "sampler_name": "euler",
            "positive": ["4", 0],
            "negative": ["5", 0],
        },
    },
    "7": {"class_type": "Seed", "inputs": {"seed": 99}},
    "8": {"class_type": "LoraLoader", "inputs": {"lora_name": "style.safetensors"}},
}
WORKFLOW = {
    "nodes": [
        {"type": "CheckpointLoaderSimple", "widgets_values": ["sdxl.safetensors"]},
        {"type": "CLIPTextEncode", "widgets_values": ["a lake"]},
    ]
}


def check_comfyui(found: Declaration) -> None:
    details = found.details
    assert details["program"] == "ComfyUI"
    assert details["model"] == "flux1-dev.safetensors"
    assert details["prompt"] == "a red fox"
    assert details["negative_prompt"] == "ugly"
    assert details["adapters"] == ["upscaler.pth", "style.safetensors"]
    assert (details["seed"], details["steps"], details["sampler"]) == (99, 20, "euler")


def test_comfyui_png() -> None:
    check_comfyui(only(declared_generator(png(prompt=json.dumps(GRAPH), workflow=json.dumps(WORKFLOW)))))


def test_comfyui_webp_keeps_its_graph_in_make_and_model() -> None:
    exif = Image.Exif()
    exif[0x0110] = "prompt:" + json.dumps(GRAPH)
    exif[0x010F] = "workflow:" + json.dumps(WORKFLOW)
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, "WEBP", exif=exif)
    picture = open_picture(out.getvalue(), name="t.webp")
    check_comfyui(only(declared_generator(picture)))
    assert "camera" not in {found.kind for found in declarations(picture)}


def test_comfyui_workflow_alone() -> None:
    found = only(declared_generator(png(workflow=json.dumps(WORKFLOW))))
    assert found.details["model"] == "sdxl.safetensors"
    assert found.details["prompt"] == "a lake"


def test_comfyui_cycles_and_odd_links_end() -> None:
    graph = {
        "1": {"class_type": "CLIPTextEncode", "inputs": {"text": ["2", 0]}},
        "2": {"class_type": "X", "inputs": {"text": ["1", 0]}},
        "3": {"class_type": "KSampler", "inputs": {"positive": [], "negative": [None], "seed": [[1]]}},
    }
    assert "prompt" not in only(declared_generator(png(prompt=json.dumps(graph)))).details


INVOKE = {"positive_prompt": "a hill", "negative_prompt": "fog", "model": {"name": "sd-1.5"}, "seed": 5, "steps": 30}
OLD_INVOKE = {"model_weights": "sd-v1-4", "app_version": "2.2", "image": {"prompt": [{"prompt": "a hill"}], "seed": 5}}
NOVEL = {"prompt": "a hill", "steps": 28, "sampler": "k_euler", "seed": 5, "uc": "bad", "scale": 5.0}
SWARM = {"sui_image_params": {"prompt": "a hill", "model": "sdxl", "seed": 5, "steps": 20}, "sui_extra_data": {}}
FOOOCUS = {"prompt": "a hill", "base_model": "juggernaut", "seed": "5", "steps": 30}
MFLUX = {"mflux_version": "0.6", "model": "dev", "prompt": "a hill", "seed": 5, "steps": 20}
DRAW = {"c": "a hill", "uc": "bad", "model": "sd3.ckpt", "seed": 5, "steps": 20}


@pytest.mark.parametrize(
    ("texts", "program", "model"),
    [
        ({"invokeai_metadata": json.dumps(INVOKE)}, "InvokeAI", "sd-1.5"),
        ({"sd__metadata": json.dumps(OLD_INVOKE)}, "InvokeAI", "sd-v1-4"),
        ({"Dream": '"a hill" -s 50 -S 5 -W 512 -H 512 -C 7.5 -A k_lms'}, "InvokeAI", None),
        (
            {
                "Software": "NovelAI",
                "Source": "NovelAI Diffusion V4",
                "Description": "a hill",
                "Comment": json.dumps(NOVEL),
            },
            "NovelAI",
            "NovelAI Diffusion V4",
        ),
        ({"parameters": json.dumps(SWARM)}, "SwarmUI", "sdxl"),
        ({"parameters": json.dumps(FOOOCUS), "fooocus_scheme": "fooocus"}, "Fooocus", "juggernaut"),
        ({"Comment": json.dumps(MFLUX)}, "mflux", "dev"),
        ({"Software": "Draw Things", "UserComment": json.dumps(DRAW)}, "Draw Things", "sd3.ckpt"),
        ({"prompt": "a hill", "use_stable_diffusion_model": "sd-v1", "seed": "5"}, "Easy Diffusion", "sd-v1"),
        (
            {"Description": "a hill --v 6.1 Job ID: 01234567-89ab-cdef-0123-456789abcdef", "Author": "someone"},
            "Midjourney",
            None,
        ),
    ],
)
def test_other_programs(texts: dict[str, str], program: str, model: str | None) -> None:
    found = only(declared_generator(png(**texts)))
    assert found.details["program"] == program
    assert found.details.get("model") == model
    assert found.details["prompt"].startswith("a hill")
    if program != "Midjourney":
        assert str(found.details["seed"]) == "5"


def write_hidden(pixels: np.ndarray, signature: bytes, body: bytes, channels: slice) -> None:
    bits = np.unpackbits(np.frombuffer(signature + (len(body) * 8).to_bytes(4, "big") + body, np.uint8))
    plane = pixels[:, :, channels].transpose(1, 0, 2)
    flat = plane.reshape(-1).copy()
    flat[: len(bits)] = flat[: len(bits)] & 254 | bits
    pixels[:, :, channels] = flat.reshape(plane.shape).transpose(1, 0, 2)


@pytest.mark.parametrize("packed", [False, True])
def test_hidden_in_alpha(packed: bool) -> None:
    pixels = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)])
    text = json.dumps({"Software": "NovelAI", "Source": "V3", "Description": "a hill", "Comment": json.dumps(NOVEL)})
    body = gzip.compress(text.encode()) if packed else text.encode()
    write_hidden(pixels, b"stealth_pngcomp" if packed else b"stealth_pnginfo", body, slice(3, 4))
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    found = only(declared_generator(open_picture(out.getvalue(), name="t.png")))
    assert found.details["program"] == "NovelAI"
    assert found.details["hidden_in"]


def test_hidden_in_colour() -> None:
    pixels = np.tile(PIXELS, (2, 2, 1))
    write_hidden(pixels, b"stealth_rgbcomp", gzip.compress(A1111.encode()), slice(0, 3))
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    check_a1111(only(declared_generator(open_picture(out.getvalue(), name="t.png"))))


def test_a_plain_picture_declares_no_generator() -> None:
    for picture in (png(), jpeg("holiday in Rome"), png(Software="GIMP 2.10", Comment="Created with GIMP")):
        assert declared_generator(picture) == []


def test_details_are_capped() -> None:
    found = only(declared_generator(png(parameters="x" * 50_000 + "\nSteps: 1, Seed: 1, Model: m")))
    assert len(found.details["prompt"]) <= 4000
    assert len(found.says) < 500


def test_numbers_json_cannot_hold_and_deep_nesting() -> None:
    graph = '{"1": {"class_type": "KSampler", "inputs": {"seed": NaN, "steps": 1e999, "cfg": ' + "9" * 400 + "}}}"
    only(declared_generator(png(prompt=graph)))
    assert declared_generator(png(prompt="{" + '"a":{' * 100_000)) == []


XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
    'xmlns:TC260="http://www.tc260.org.cn/ns/AIGC/1.0/" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">{}</rdf:Description></rdf:RDF></x:xmpmeta>'
)


def with_xmp(inner: str, kind: str = "JPEG") -> Picture:
    out = io.BytesIO()
    if kind == "PNG":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.format(inner))
        Image.fromarray(PIXELS).save(out, "PNG", pnginfo=info)
    else:
        Image.fromarray(PIXELS).save(out, kind, xmp=XMP.format(inner).encode())
    return open_picture(out.getvalue(), name="t")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("name", "generative"), [("trainedAlgorithmicMedia", True), ("digitalCapture", False), ("unheardOf", False)]
)
def test_digital_source_type(kind: str, name: str, generative: bool) -> None:
    uri = f"http://cv.iptc.org/newscodes/digitalsourcetype/{name}"
    inner = f"<Iptc4xmpExt:DigitalSourceType>{uri}</Iptc4xmpExt:DigitalSourceType>"
    found = only(declared_source_type(with_xmp(inner, kind)))
    assert found.details == {"value": uri, "name": name, "generative": generative}


@pytest.mark.parametrize(
    ("credit", "vendor"),
    [("Made with Google AI", "Google"), ("Edited with Google AI", "Google"), ("Apple Photos Clean Up", "Apple")],
)
def test_credit_labels(credit: str, vendor: str) -> None:
    found = only(declared_vendor_tags(with_xmp(f"<photoshop:Credit>{credit}</photoshop:Credit>")))
    assert found.details["vendor"] == vendor
    assert credit in found.says


def test_label_of_tc260() -> None:
    label = json.dumps({"Label": "1", "ContentProducer": "maker-1"}).replace('"', "&quot;")
    found = only(declared_vendor_tags(with_xmp(f"<TC260:AIGC>{label}</TC260:AIGC>")))
    assert "is generated" in found.says
    assert found.details["fields"]["ContentProducer"] == "maker-1"
    assert only(declared_vendor_tags(png(AIGC='{"Label": "2"}'))).details["label"] == "2"


def test_groks_signature() -> None:
    zeroth = {
        piexif.ImageIFD.ImageDescription: b"Signature: " + b"Ab0+" * 20,
        piexif.ImageIFD.Artist: b"01234567-89ab-4cde-8123-456789abcdef",
    }
    assert only(declared_vendor_tags(jpeg(zeroth=zeroth))).details["vendor"] == "xAI"
    zeroth[piexif.ImageIFD.Artist] = b"A. Person"
    assert declared_vendor_tags(jpeg(zeroth=zeroth)) == []


def test_samsungs_generative_edit() -> None:
    data = jpeg().data + b'PhotoEditor_Re_Edit_Data{"genAIType":1}SEFH....SEFT'
    assert only(declared_vendor_tags(open_picture(data, name="t"))).details["vendor"] == "Samsung"


def test_words_about_ai_are_no_label() -> None:
    caption = "<photoshop:Headline>Google presents a tool; pictures were not made with Google AI</photoshop:Headline>"
    assert declared_vendor_tags(with_xmp(caption)) == []


def test_committed_examples() -> None:
    assert "AUTOMATIC1111" in only(declared_generator(open_picture(EXAMPLES / "tag_automatic1111.png"))).says
    assert only(declared_generator(open_picture(EXAMPLES / "tag_comfyui.png"))).details["seed"] == 42
    assert only(declared_source_type(open_picture(EXAMPLES / "tag_source_type.jpg"))).details["generative"]
    for name in ("photograph.jpg", "spliced.jpg", "laundered.png"):
        assert declared_generator(open_picture(EXAMPLES / name)) == []


@settings(max_examples=150, deadline=5000, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.sampled_from(["prompt", "workflow", "parameters", "Comment", "invokeai_metadata"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(
                        ["class_type", "inputs", "nodes", "type", "widgets_values", "positive", "text", "model", "1"]
                    ),
                    inner,
                    max_size=5,
                )
            ),
            max_leaves=30,
        ),
    )
)
def test_any_json_is_survived(values) -> None:
    for found in declared_generator(png(**{key: json.dumps(value) for key, value in values.items()})):
        json.dumps(found.details, allow_nan=False)


@settings(max_examples=150, deadline=5000)
@given(st.text(max_size=300), st.text(max_size=100))
def test_any_parameters_text_is_survived(prompt: str, tail: str) -> None:
    parsed = parse_parameters(f"{prompt}\nSteps: 1, Seed: 2, {tail}")
    assert parsed is None or parsed["settings"]["Steps"] == "1"
