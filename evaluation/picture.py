"""Pictures as requests carry them."""

import base64
import hashlib
import io
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture in a request.

    Attributes:
        url: the picture as a `data:` URL, without loss.
        digest: names its content.
        size: height and width in pixels.
    """

    url: str
    digest: str
    size: tuple[int, int]

    @classmethod
    def of(cls, image: Image.Image) -> "Picture":
        return cls(data_url(image), hashlib.sha256(image.tobytes()).hexdigest(), (image.height, image.width))

    @property
    def image(self) -> Image.Image:
        return Image.open(io.BytesIO(base64.b64decode(self.url.partition(",")[2])))


def data_url(image: Image.Image) -> str:
    """A picture as a `data:` URL. It is hardly compressed: it is sent to the next process."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
