"""Formats of images: those that the server takes, and what other files seem to be."""

import re
from codecs import getincrementaldecoder

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
"""Formats of OpenAI's API, by Pillow's names. vLLM's own connector opens thirty more."""
TAKEN = "This server takes JPEG, PNG, WebP and GIF"
HEAD = 1024
"""Bytes that tell a format."""
SIGNATURES = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WebP": rb"RIFF.{4}WEBP",
    "GIF": rb"GIF8[79]a",
    "AVIF": rb".{4}ftyp(.{4}){0,12}?avi[fs]",
    "HEIC": rb".{4}ftyp(.{4}){0,12}?(hei[cfmsx]|hev[cmsx]|mif1|msf1)",
    "an MP4 or QuickTime video": rb".{4}ftyp",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "BMP": rb"BM",
    "TIFF": rb"II\*\0|MM\0\*|II\+\0|MM\0\+",
    "ICO": rb"\0\0[\x01\x02]\0",
    "PSD": rb"8BPS",
    "PDF": rb"\s*%PDF-",
    "HTML": rb"(?=\s*<).*?<(!doctype\s+html|html|head|body)\b",
    "SVG": rb"(?=\s*<).*?<(\w+:)?svg\b",
    "XML": rb"\s*<\?xml",
    "JSON": rb"\s*[{\[]\s*[\"{\[\]}]",
    "a ZIP archive": rb"PK\x03\x04",
    "gzip data": rb"\x1f\x8b",
    "a data: URL within a data: URL": rb"\s*data:",
    "Base64 text: encode the file once, not twice": rb"\s*(iVBORw0KGgo|/9j/|R0lGOD|UklGR)",
}
"""How the files of a format begin: regular expressions. The first that matches counts."""
MARK = b"\xef\xbb\xbf"
"""What some editors put in front of text."""


def apparent_format(data: bytes) -> str | None:
    """Return what a file seems to be, or None."""
    head = data[:HEAD].removeprefix(MARK)
    matches = (name for name, begin in SIGNATURES.items() if re.match(begin, head, re.DOTALL | re.IGNORECASE))
    found = next(matches, None)
    return found or ("text" if _is_text(head) else None)


def _is_text(head: bytes) -> bool:
    try:
        text = getincrementaldecoder("utf-8")().decode(head)  # its last character may be cut off
    except UnicodeDecodeError:
        return False
    return all(each.isprintable() or each.isspace() for each in text)


def refusal(data: bytes) -> str:
    """Return why a file that Pillow does not open is no image, and what to do."""
    if not data:
        return "The image cannot be read: it is empty. Send the file's content as data:image/png;base64,..."
    seems = apparent_format(data)
    if seems is not None and seems.upper() in FORMATS:
        return f"The image cannot be read: it seems to be {seems}, but is damaged or cut off. Send the whole file."
    kind = "its format is unknown" if seems is None else f"it seems to be {seems}"
    return f"The image cannot be read: {kind}. {TAKEN}. Convert it to one of these."
