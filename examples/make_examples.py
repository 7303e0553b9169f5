"""Make the files of this folder again: python examples/make_examples.py --autoencoder DIR.

Needs the ``test`` and ``lab`` extras. DIR holds the autoencoder's weights (taef2_encoder.pth, taef2_decoder.pth);
without it the laundered example is left as it is. The signed examples get a new certificate authority at every run.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import piexif
import skimage.data
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from signing import SOURCE_TYPES, make_authority, sign

HERE = Path(__file__).parent
SIZE_LIMIT = 250_000  # bytes of one file

Rgb = NDArray[np.uint8]

PARAMETERS = """a cup of coffee on a wooden table, photograph, shallow depth of field
Negative prompt: drawing, text, watermark
Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 6.5, Seed: 1234567890, Size: 600x400, Model hash: 0123456789, \
Model: exampleModel_v10, Clip skip: 2, Version: v1.10.1"""


def save(name: str, data: bytes) -> None:
    """Write one example, unless it is too large."""
    if len(data) > SIZE_LIMIT:
        raise SystemExit(f"{name} has {len(data):,} bytes, over the limit of {SIZE_LIMIT:,}.")
    (HERE / name).write_bytes(data)
    print(f"{name:28} {len(data):>8,} bytes")


def jpeg(rgb: Rgb, quality: int, **options: Any) -> bytes:
    """``rgb`` as a JPEG file."""
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=quality, **options)
    return out.getvalue()


def png(image: Image.Image, **options: Any) -> bytes:
    """``image`` as a PNG file."""
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True, **options)
    return out.getvalue()


def decode(data: bytes) -> Rgb:
    """The pixels of a file."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.uint8)


def spliced() -> tuple[bytes, Rgb]:
    """A cat's face, never compressed before, in a photograph that was: JPEG at 65, then the whole at 92."""
    host = decode(jpeg(skimage.data.coffee(), 65, subsampling=0)).astype(np.float32)
    cat = skimage.data.chelsea()[30:230, 110:330].astype(np.float32)
    height, width = cat.shape[:2]
    mask = np.zeros((height, width), np.float32)
    cv2.ellipse(mask, (width // 2, height // 2), (width // 2 - 12, height // 2 - 12), 0, 0, 360, 1, -1)
    soft = cv2.GaussianBlur(mask, (0, 0), 1.2)[..., None]
    top, left = 12, 8
    region = host[top : top + height, left : left + width]
    region[:] = soft * cat + (1 - soft) * region
    truth = np.zeros(host.shape[:2], np.uint8)
    truth[top : top + height, left : left + width] = mask * 255
    return jpeg(np.clip(host.round(), 0, 255).astype(np.uint8), 92, subsampling=0), truth


def comfyui_graph() -> dict[str, Any]:
    """A graph as ComfyUI stores it: what was run."""
    return {
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "seed": 42,
                "steps": 20,
                "cfg": 7.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1.0,
                "model": ["4", 0],
                "positive": ["6", 0],
                "negative": ["7", 0],
                "latent_image": ["5", 0],
            },
        },
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "exampleModel_v10.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "portrait of a cat, photograph", "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "drawing, blurry", "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "example", "images": ["8", 0]}},
    }


def comfyui_workflow() -> dict[str, Any]:
    """The same as it is drawn."""
    return {
        "last_node_id": 9,
        "nodes": [
            {"id": 4, "type": "CheckpointLoaderSimple", "widgets_values": ["exampleModel_v10.safetensors"]},
            {"id": 6, "type": "CLIPTextEncode", "widgets_values": ["portrait of a cat, photograph"]},
            {"id": 3, "type": "KSampler", "widgets_values": [42, "fixed", 20, 7.0, "euler", "normal", 1.0]},
        ],
        "links": [],
        "version": 0.4,
    }


def xmp_packet(source_type: str) -> bytes:
    """An XMP packet that holds one digital source type."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPES}{source_type}"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def phone_exif(thumbnail: bytes, orientation: int) -> bytes:
    """EXIF as a phone writes it; the place is the Greenwich Observatory."""
    stamp = b"2024:06:15 14:30:05"
    return piexif.dump(
        {
            "0th": {
                piexif.ImageIFD.Make: b"Example",
                piexif.ImageIFD.Model: b"Phone 1",
                piexif.ImageIFD.Software: b"1.0.0",
                piexif.ImageIFD.Orientation: orientation,
                piexif.ImageIFD.DateTime: stamp,
            },
            "Exif": {
                piexif.ExifIFD.DateTimeOriginal: stamp,
                piexif.ExifIFD.DateTimeDigitized: stamp,
                piexif.ExifIFD.OffsetTimeOriginal: b"+01:00",
                piexif.ExifIFD.OffsetTimeDigitized: b"+01:00",
                piexif.ExifIFD.OffsetTime: b"+01:00",
                piexif.ExifIFD.ExposureTime: (1, 120),
                piexif.ExifIFD.FNumber: (18, 10),
                piexif.ExifIFD.ISOSpeedRatings: 100,
                piexif.ExifIFD.FocalLength: (56, 10),
            },
            "GPS": {
                piexif.GPSIFD.GPSLatitudeRef: b"N",
                piexif.GPSIFD.GPSLatitude: ((51, 1), (28, 1), (4012, 100)),
                piexif.GPSIFD.GPSLongitudeRef: b"W",
                piexif.GPSIFD.GPSLongitude: ((0, 1), (0, 1), (531, 100)),
                piexif.GPSIFD.GPSDateStamp: b"2024:06:15",
                piexif.GPSIFD.GPSTimeStamp: ((13, 1), (30, 1), (5, 1)),
            },
            "1st": {piexif.ImageIFD.Compression: 6},
            "thumbnail": thumbnail,
        }
    )


def thumbnail_of(rgb: Rgb) -> bytes:
    """A camera's thumbnail: 160 px wide."""
    small = cv2.resize(rgb, (160, round(160 * rgb.shape[0] / rgb.shape[1])), interpolation=cv2.INTER_AREA)
    return jpeg(np.asarray(small, np.uint8), 80)


def deep_png(rgb: Rgb) -> bytes:
    """16 bits a channel: sums of 3x3 pixels hold more than 8 bits."""
    height, width = (side // 3 for side in rgb.shape[:2])
    blocks = rgb[: height * 3, : width * 3].reshape(height, 3, width, 3, 3).astype(np.uint32).sum(axis=(1, 3))
    values = (blocks * (65535 / (255 * 9))).round().astype(np.uint16)
    return bytes(cv2.imencode(".png", values[..., ::-1])[1])


def animated_gif(rgb: Rgb) -> bytes:
    """Three frames that shift sideways."""
    frames = [Image.fromarray(np.ascontiguousarray(rgb[100:260, x : x + 200])) for x in (60, 70, 80)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=200, loop=0)
    return out.getvalue()


def main() -> None:
    """Write all examples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--autoencoder", type=Path, help="the folder with the autoencoder's weights")
    arguments = parser.parse_args()
    coffee, cat, rocket, astronaut = (
        getattr(skimage.data, name)() for name in ("coffee", "chelsea", "rocket", "astronaut")
    )

    save("photograph.jpg", jpeg(coffee, 92))
    data, truth = spliced()
    save("spliced.jpg", data)
    save("../tests/data/spliced_mask.png", png(Image.fromarray(truth).convert("1")))
    save("recompressed.jpg", jpeg(decode(jpeg(rocket, 60)), 90))

    text = PngInfo()
    text.add_text("parameters", PARAMETERS)
    save("tag_automatic1111.png", png(Image.fromarray(coffee[::2, ::2]), pnginfo=text))
    text = PngInfo()
    text.add_text("prompt", json.dumps(comfyui_graph()))
    text.add_text("workflow", json.dumps(comfyui_workflow()))
    save("tag_comfyui.png", png(Image.fromarray(cat[::2, ::2]), pnginfo=text))
    save("tag_source_type.jpg", jpeg(astronaut, 88, xmp=xmp_packet("trainedAlgorithmicMedia")))

    signed = sign(jpeg(cat, 90), "image/jpeg", make_authority("Veriscope example signer"))
    save("credentials.jpg", signed)
    altered = bytearray(signed)
    altered[-len(signed) // 4] ^= 1
    save("credentials_altered.jpg", bytes(altered))

    stored = np.ascontiguousarray(np.rot90(cat, 1))
    save("phone.jpg", jpeg(stored, 93, exif=phone_exif(thumbnail_of(stored), 6)))
    cropped = np.ascontiguousarray(coffee[60:320, 120:510])
    save("phone_cropped.jpg", jpeg(cropped, 93, exif=phone_exif(thumbnail_of(coffee), 1)))
    whole = jpeg(rocket, 90)
    save("truncated.jpg", whole[: len(whole) * 3 // 5])
    save("animated.gif", animated_gif(cat))
    save("sixteen_bit.png", deep_png(rocket))

    if arguments.autoencoder:
        from veriscope.lab.generators.autoencoder import load_autoencoder

        folder = arguments.autoencoder
        model = load_autoencoder(folder / "taef2_encoder.pth", folder / "taef2_decoder.pth")
        save("laundered.png", png(Image.fromarray(model.reconstruct(np.ascontiguousarray(cat[40:264, 96:352])))))


if __name__ == "__main__":
    main()
