"""Pictures in files, as a server shows them to the model."""

import base64
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from evaluation.failure import EvaluationError
from gprune_server.guard.image_format import FORMATS, refusal
from gprune_server.guard.transparency import alpha_of, prepared, turned


@dataclass(frozen=True, slots=True)
class FilePicture:
    """A picture as a file has it. Nothing is encoded anew, so that the server sees just this file.

    Attributes:
        content: of the file.
        seen: what the model sees: turned as the camera says, on white, with 8 bits a channel.
    """

    content: bytes
    seen: Image.Image

    @classmethod
    def read(cls, file: Path) -> "FilePicture":
        """Read a file.

        Raises:
            EvaluationError: it holds no picture that a server takes.
            OSError: it cannot be read.
        """
        content = file.read_bytes()
        try:
            return cls.of(content)
        except Exception as error:  # Pillow raises many kinds for damaged files
            raise EvaluationError(f"{file}: cannot identify image file. {refusal(content)}") from error

    @classmethod
    def of(cls, content: bytes) -> "FilePicture":
        """Decode the content of a file."""
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            alpha = alpha_of(image, content)
            image.load()
            return cls(content, on_white(prepared(turned(image), alpha)))

    @property
    def url(self) -> str:
        """The file as a `data:` URL. The server tells the format from the content."""
        return f"data:;base64,{base64.b64encode(self.content).decode('ascii')}"


def on_white(image: Image.Image) -> Image.Image:
    """A picture without its transparency, on white."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    whole = Image.new("RGB", layer.size, "white")
    whole.paste(layer, mask=layer.getchannel("A"))
    return whole
