"""Decoding of images from untrusted clients."""

from io import BytesIO
from typing import Any

from PIL import Image
from vllm.multimodal.media import ImageMediaIO

from gprune_server.compatibility import over_budget
from gprune_server.guard.image_error import ImageError
from gprune_server.guard.image_format import FORMATS, refusal
from gprune_server.guard.transparency import alpha_of, prepared

MAX_ASPECT_RATIO = 100
"""Largest ratio of the longer side to the shorter one. Beyond it, vLLM resizes the shorter side to nothing."""


class GuardedImageIO(ImageMediaIO):
    """Changes against `vllm.multimodal.media.ImageMediaIO` (vLLM 0.32), for one image:

    - checks format, bytes and pixels before decoding;
    - scales channels of 16 bits to 8 instead of clipping them;
    - hides the transparent colour of any PNG file;
    - errors say what the file seems to be, and show nothing of Pillow's insides.
    """

    def __init__(self, max_pixels: int, max_bytes: int, **options: Any) -> None:
        super().__init__(**options)
        self.max_pixels = max_pixels
        self.max_bytes = max_bytes
        self._alpha: Image.Image | None = None

    def get_max_bytes(self) -> int:
        return self.max_bytes

    def load_bytes(self, data: bytes) -> Any:
        """Decode an image.

        Raises:
            ImageError: it cannot be decoded, or is too large.
        """
        if len(data) > self.max_bytes:
            raise ImageError(
                f"The image has {len(data)} bytes, but the limit is {self.max_bytes} (--max-image-bytes). "
                "Send a smaller image."
            )
        try:
            with Image.open(BytesIO(data), formats=FORMATS) as image:  # reads the header only
                self.check_size(*image.size)
                self._alpha = alpha_of(image, data)
            return super().load_bytes(data)
        except ImageError:
            raise
        except Image.DecompressionBombError as error:
            raise ImageError("The image has too many pixels to be decoded safely. Send a smaller image.") from error
        except Exception as error:  # Pillow raises many kinds for damaged files
            raise ImageError(over_budget(error) or refusal(data)) from error

    def check_size(self, width: int, height: int) -> None:
        """Check the size of an image.

        Raises:
            ImageError: the image has too many pixels, or is too narrow to be cut into crops.
        """
        if width * height > self.max_pixels:
            raise ImageError(
                f"The image has {width} x {height} pixels, but the limit is {self.max_pixels} in total "
                "(--max-image-pixels). Send a smaller image."
            )
        if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
            raise ImageError(
                f"The image has {width} x {height} pixels, but its longer side may be at most {MAX_ASPECT_RATIO} times "
                "its shorter side. Crop or pad the image."
            )

    def _convert_image_mode(self, image: Any) -> Image.Image:
        converted: Image.Image = super()._convert_image_mode(prepared(image, self._alpha))
        return converted
