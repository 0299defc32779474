"""The bytes of a seed file as its reader wants them: decompressed, and of texts in UTF-8 with line ends."""

from __future__ import annotations

import codecs
import io
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

import pyarrow as pa

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Codec = Literal["gzip", "bz2", "zstd", "lz4"]

_BUFFER = 1 << 16  # bytes; as much of a truncated file is lost before its end
_MAGIC: dict[bytes, Codec] = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
_MARKS = (  # that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decompressed(file: BinaryIO, named: Codec | None) -> BinaryIO:
    """The content of a file: by its first bytes, or as it is `named` where these are no text."""
    head = head_of(file)
    codec = codec_of(head) or named
    # a download is often unpacked on its way, and keeps its name
    if codec is None or (codec_of(head) is None and _is_text(head)):
        return file
    stream = pa.CompressedInputStream(cast(io.IOBase, file), codec)
    return io.BufferedReader(cast(io.RawIOBase, stream), _BUFFER)  # pyarrow's own has no readline


def codec_of(head: bytes) -> Codec | None:
    """How a file that begins with `head` is compressed, if it is."""
    return next((codec for magic, codec in _MAGIC.items() if head.startswith(magic)), None)


def _is_text(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return _encoding(head) is not None
    return b"\0" not in head or _encoding(head) is not None


def as_utf8(file: BinaryIO, line_ends: bool) -> BinaryIO:
    """A text file in UTF-8: what begins as UTF-16 or UTF-32 is put into it.

    With `line_ends`, CR alone becomes LF in a file that begins without any LF. Bytes that are not of the encoding stay
    such as no UTF-8 has, for the row's own check to find.
    """
    head = head_of(file)
    encoding = _encoding(head)
    text = head.decode(encoding or "utf-8", errors="ignore")
    lone = line_ends and "\r" in text and "\n" not in text
    if encoding is None and not lone:
        return file
    return io.BufferedReader(_Recoded(file, encoding or "utf-8", lone), _BUFFER)


def _encoding(head: bytes) -> str | None:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    match [byte == 0 for byte in head[:4]]:
        case [False, True, False, True]:
            return "utf-16-le"
        case [True, False, True, False]:
            return "utf-16-be"
        case [False, True, True, True]:
            return "utf-32-le"
        case [True, True, True, False]:
            return "utf-32-be"
    return None


def head_of(file: BinaryIO) -> bytes:
    """The first bytes of a file, which is left where it was: some thousand, or all of a short one."""
    if isinstance(file, io.BufferedReader):
        return file.peek(_BUFFER)
    head = file.read(_BUFFER)
    file.seek(0)
    return head


class _Recoded(io.RawIOBase):
    """UTF-8 of a text in another encoding."""

    def __init__(self, file: BinaryIO, encoding: str, lone_cr: bool) -> None:
        self._file, self._encoding = file, encoding
        self._errors = "surrogateescape" if encoding == "utf-8" else "surrogatepass"
        decoder = codecs.getincrementaldecoder(encoding)(errors=self._errors)
        self._decode = io.IncrementalNewlineDecoder(decoder, translate=True).decode if lone_cr else decoder.decode
        self._ready, self._ended = b"", False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        while not self._ready and not self._ended:
            chunk = self._file.read(_BUFFER)
            self._ended = not chunk
            self._ready = self._converted(chunk)
        view = memoryview(buffer)
        taken = self._ready[: len(view)]
        view[: len(taken)] = taken
        self._ready = self._ready[len(taken) :]
        return len(taken)

    def _converted(self, chunk: bytes) -> bytes:
        try:
            text = self._decode(chunk, self._ended)
        except UnicodeDecodeError as error:
            if self._ended:  # half a character, for the row's own check to find
                return b"\xff"
            raise OSError(f"expected {self._encoding.upper()}, {error.reason}") from None
        return text.encode(errors=self._errors)
