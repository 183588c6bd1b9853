"""Whole PNG and JPEG files as the wire carries them; Pillow is used where the caller has it, and never needed."""

import io
import os
import pathlib

_SIGNATURES = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff"}
_PILLOW_MODES = {"png": ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA"), "jpeg": ("1", "L", "RGB", "CMYK")}


class ImageFile:
    """A whole PNG or JPEG file, from a path or from its bytes, sent as it is.

    options are the members that may stand beside it in a request: pixel_format="bgr8", exif_orientation=True,
    allow_damaged=True, scale=2.
    """

    def __init__(self, source, **options):
        is_path = isinstance(source, (str, os.PathLike))
        self.data = pathlib.Path(source).read_bytes() if is_path else bytes(source)
        self.options = options

    @property
    def format(self):
        """png or jpeg by the file's own signature, None when it is neither."""
        return next((name for name, magic in _SIGNATURES.items() if self.data.startswith(magic)), None)

    @classmethod
    def encode(cls, image, format="png", quality=90, **options):
        """Encodes a Pillow image; quality is for JPEG."""
        if image.mode not in _PILLOW_MODES[format]:
            raise ValueError(f"{format} has no mode {image.mode}: convert() the image, or send numpy.asarray(image)")
        file = io.BytesIO()
        image.save(file, format, **({"compress_level": 1} if format == "png" else {"quality": quality}))
        return cls(file.getvalue(), **options)

    def pil(self):
        """The Pillow image (needs Pillow)."""
        from PIL import Image

        return Image.open(io.BytesIO(self.data))

    def __array__(self, dtype=None, copy=None):
        import numpy as np

        return np.asarray(self.pil(), dtype=dtype)

    def __repr__(self):
        return f"ImageFile({self.format}, {len(self.data)} bytes)"


def looks_like_image(data):
    return any(bytes(data[: len(magic)]) == magic for magic in _SIGNATURES.values())
