"""Sends PNG and JPEG files of every kind to a real tensord and compares its pixels with independent decoders.

The files are made here: by Pillow, by cjpeg and jpegtran, by netpbm's pnmtopng, and by a PNG writer of a few lines.
The judges are djpeg for JPEG; for PNG the samples that were written, pngtopnm, and Pillow where it is right.
"""

import base64
import io
import shutil
import struct
import subprocess
import time
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

import harness

# A PATH without these is a broken set-up, not a reason to skip: docker/deps.sh installs them for the tests.
TOOLS = ("djpeg", "cjpeg", "jpegtran", "pngtopnm", "pnmtopng")
SIZES = [(1, 1), (1, 19), (17, 1), (2, 3), (8, 8), (9, 7), (16, 16), (17, 19)]


@pytest.fixture(scope="module")
def connection():
    for tool in TOOLS:
        assert shutil.which(tool), f"{tool} is not installed"
    with harness.Daemon(log_level="info") as daemon:
        with daemon.connect() as sock:
            yield sock


def request_of(file, **members):
    return {"handler": "echo", "tensors": [{"image": base64.b64encode(file).decode(), **members}]}


def decode(sock, file, **members):
    reply = harness.call(sock, request_of(file, **members))
    assert reply["status"] == "ok", reply
    return harness.to_array(reply["tensors"][0])


def refuse(sock, file, **members):
    reply = harness.call(sock, request_of(file, **members))
    assert reply["status"] == "error", "it was taken"
    return reply["error"]


def run(command, data):
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def read_pnm(data):
    """A raw PGM or PPM as [height, width, channels]."""
    stream = io.BytesIO(data)
    magic = stream.readline().strip()
    tokens = []
    while len(tokens) < 3:
        tokens += stream.readline().split(b"#")[0].split()
    width, height, top = map(int, tokens)
    channels = {b"P5": 1, b"P6": 3}[magic]
    dtype = np.dtype("u1") if top < 256 else np.dtype(">u2")
    pixels = np.frombuffer(stream.read(), dtype).reshape(height, width, channels)
    return pixels.astype(dtype.newbyteorder("="))


def write_pnm(pixels):
    kind = b"P5" if pixels.shape[2] == 1 else b"P6"
    return b"%s\n%d %d\n255\n" % (kind, pixels.shape[1], pixels.shape[0]) + pixels.tobytes()


def noise(width, height, channels, seed=0, dtype=np.uint8, top=None):
    generator = np.random.default_rng([seed, width, height, channels])
    top = np.iinfo(dtype).max if top is None else top
    return generator.integers(0, top, (height, width, channels), dtype=dtype, endpoint=True)


def photo(width, height, channels, seed=0):
    """A soft gradient with noise."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [x * (c + 1) * 200 / max(1, width) + y * (3 - c) * 50 / max(1, height) for c in range(channels)]
    return (np.stack(planes, axis=2) % 220 + noise(width, height, channels, seed) % 32).astype(np.uint8)


# ---- PNG -------------------------------------------------------------------------------------------------------------


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def filtered(row, above, size, kind):
    """One scanline with its filter byte; size is the distance of neighbouring pixels in bytes."""
    left = np.concatenate([np.zeros(size, np.uint8), row[:-size]]) if len(row) > size else np.zeros_like(row)
    corner = np.concatenate([np.zeros(size, np.uint8), above[:-size]]) if len(row) > size else np.zeros_like(row)
    a, b, c = left.astype(int), above.astype(int), corner.astype(int)
    if kind == 4:
        p = a + b - c
        pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
        guess = np.where((pa <= pb) & (pa <= pc), a, np.where(pb <= pc, b, c))
    else:
        guess = [0 * a, a, b, (a + b) // 2][kind]
    return bytes([kind]) + ((row - guess) & 255).astype(np.uint8).tobytes()


def scanlines(samples, depth):
    """The rows of one pass, each with another of the five filters."""
    if samples.shape[0] == 0 or samples.shape[1] == 0:
        return b""
    out, above = b"", None
    for y, row in enumerate(samples.reshape(samples.shape[0], -1)):
        if depth == 16:
            raw = row.astype(">u2").view(np.uint8)
        elif depth == 8:
            raw = row.astype(np.uint8)
        else:
            bits = np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - depth :].ravel()
            raw = np.packbits(bits)
        above = np.zeros_like(raw) if above is None else above
        out += filtered(raw, above, max(1, depth * samples.shape[2] // 8), y % 5)
        above = raw
    return out


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def make_png(samples, color_type, depth, interlaced, extra):
    height, width = samples.shape[:2]
    passes = [samples[y0::dy, x0::dx] for x0, y0, dx, dy in ADAM7] if interlaced else [samples]
    data = zlib.compress(b"".join(scanlines(p, depth) for p in passes))
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8)]
KINDS += [(4, 8), (4, 16), (6, 8), (6, 16)]


def png_case(color_type, depth, interlaced, transparent, width, height):
    """A PNG file and the pixels that it holds."""
    dtype = np.uint16 if depth == 16 else np.uint8
    samples = noise(width, height, CHANNELS[color_type], depth, dtype, 2**depth - 1)
    extra = b""
    if color_type == 3:
        palette = noise(2**depth, 1, 4, 1)[0]
        alpha = palette[: (len(palette) + 1) // 2, 3]
        palette[:, 3] = 255
        palette[: len(alpha), 3] = alpha
        extra = chunk(b"PLTE", palette[:, :3].tobytes())
        extra += chunk(b"tRNS", alpha.tobytes()) if transparent else b""
        pixels = palette[samples[:, :, 0]][:, :, : 4 if transparent else 3]
    else:
        pixels = (samples * (255 // (2**depth - 1) if depth < 8 else 1)).astype(dtype)
        if transparent:
            key = samples[height // 2, width // 2].copy()
            samples[0, 0] = key
            pixels[0, 0] = pixels[height // 2, width // 2]
            extra = chunk(b"tRNS", key.astype(">u2").tobytes())
            opaque = np.any(samples != key, axis=2, keepdims=True)
            pixels = np.concatenate([pixels, (opaque * np.iinfo(dtype).max).astype(dtype)], axis=2)
    return make_png(samples, color_type, depth, interlaced, extra), pixels


def by_pngtopnm(file, color_type, depth):
    """netpbm's pixels, without alpha. It does not scale grey up, and it writes grey when a palette has nothing else."""
    pixels = read_pnm(run(["pngtopnm"], file))
    if color_type == 0:
        return pixels * (255 // (2**depth - 1)) if depth < 8 else pixels
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)


# PNG forbids tRNS beside an alpha channel.
CASES = [(*kind, transparent) for kind in KINDS for transparent in (False, True) if kind[0] < 4 or not transparent]


@pytest.mark.parametrize("interlaced", [False, True], ids=["plain", "interlaced"])
@pytest.mark.parametrize("color_type,depth,transparent", CASES)
def test_every_kind_of_png(connection, color_type, depth, transparent, interlaced):
    for width, height in SIZES:
        file, pixels = png_case(color_type, depth, interlaced, transparent, width, height)
        got = decode(connection, file)
        assert got.dtype == pixels.dtype
        np.testing.assert_array_equal(got, pixels)
        if color_type in (0, 2, 3) and depth > 1:
            opaque = got[:, :, : 1 if color_type == 0 else 3]
            np.testing.assert_array_equal(opaque, by_pngtopnm(file, color_type, depth))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_pillow_and_echo_agree_for_8_bit_png(connection, mode):
    for width, height in SIZES:
        source = Image.fromarray(noise(width, height, 4), "RGBA")
        stream = io.BytesIO()
        (source.convert("RGB").convert(mode) if mode in ("1", "P") else source.convert(mode)).save(stream, "PNG")
        opened = Image.open(io.BytesIO(stream.getvalue()))
        # Pillow keeps bits and palette indices as they are; an array of colours is what both mean.
        wanted = np.asarray(opened.convert({"1": "L", "P": "RGB"}.get(mode, mode)))
        got = decode(connection, stream.getvalue())
        np.testing.assert_array_equal(got, wanted.reshape(height, width, -1))


@pytest.mark.parametrize("option", ["-verbose", "-interlace", "-compression=9", "-gamma=0.45"])
@pytest.mark.parametrize("channels", [1, 3])
def test_png_by_netpbm(connection, channels, option):
    pixels = noise(33, 21, channels)
    np.testing.assert_array_equal(decode(connection, run(["pnmtopng", option], write_pnm(pixels))), pixels)


@pytest.mark.parametrize("format", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16", "rgb16", "rgba16"])
def test_pixel_formats_of_a_png(connection, format):
    pixels = noise(17, 9, 4)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    got = decode(connection, stream.getvalue(), pixel_format=format)
    wide = format.endswith("16")
    assert got.dtype == (np.uint16 if wide else np.uint8)
    if format.startswith("mono"):
        luma = np.asarray(Image.fromarray(pixels[:, :, :3]).convert("L")).astype(int)
        assert np.abs(got[:, :, 0].astype(int) // (257 if wide else 1) - luma).max() <= 1
        return
    order = [2, 1, 0, 3] if format.startswith("bgr") else [0, 1, 2, 3]
    wanted = pixels[:, :, order][:, :, : 4 if "a" in format else 3].astype(int) * (257 if wide else 1)
    np.testing.assert_array_equal(got, wanted)


# ---- JPEG ------------------------------------------------------------------------------------------------------------


def djpeg(file, *options):
    return read_pnm(run(["djpeg", "-pnm", *options], file))


SAMPLINGS = ["1x1", "2x1", "1x2", "2x2", "4x1", "1x4", "4x2", "2x4"]
CODINGS = [[], ["-progressive"], ["-arithmetic"], ["-arithmetic", "-progressive"], ["-restart", "1"], ["-optimize"]]


@pytest.mark.parametrize("coding", CODINGS, ids=lambda c: "".join(c) or "baseline")
@pytest.mark.parametrize("space", ["-grayscale", "-rgb", *SAMPLINGS])
def test_every_kind_of_jpeg_by_cjpeg(connection, space, coding):
    sampling = ["-sample", f"{space},1x1,1x1"] if space in SAMPLINGS else [space]
    for width, height in SIZES:
        file = run(["cjpeg", "-quality", "80", *sampling, *coding], write_pnm(photo(width, height, 3)))
        np.testing.assert_array_equal(decode(connection, file), djpeg(file))


def pillow_jpeg(pixels, mode, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels, mode).save(stream, "JPEG", **options)
    return stream.getvalue()


def with_adobe_transform(file, transform):
    """The same file with another colour transform in its Adobe segment: 0 CMYK or RGB, 2 YCCK."""
    at = file.index(b"Adobe") + 11
    return file[:at] + bytes([transform]) + file[at + 1 :]


def without_adobe(file):
    at = file.index(b"\xff\xee")
    return file[:at] + file[at + 16 :]


@pytest.mark.parametrize("lossless", [[], ["-progressive"], ["-arithmetic"], ["-arithmetic", "-progressive"]],
                         ids=lambda c: "".join(c) or "baseline")
@pytest.mark.parametrize("variant", ["CMYK", "YCCK", "no Adobe marker"])
def test_cmyk_jpeg(connection, variant, lossless):
    for width, height in SIZES:
        file = pillow_jpeg(photo(width, height, 4), "CMYK", quality=80)
        file = {"CMYK": file, "YCCK": with_adobe_transform(file, 2), "no Adobe marker": without_adobe(file)}[variant]
        if lossless:
            file = run(["jpegtran", "-copy", "all", *lossless], file)
        got = decode(connection, file)
        assert got.shape == (height, width, 3)
        np.testing.assert_array_equal(got, djpeg(file))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_pillow_and_echo_agree_for_jpeg(connection, subsampling, progressive):
    for width, height in SIZES:
        file = pillow_jpeg(photo(width, height, 3), "RGB", quality=90, subsampling=subsampling, progressive=progressive)
        np.testing.assert_array_equal(decode(connection, file), djpeg(file))
        np.testing.assert_array_equal(decode(connection, file), np.asarray(Image.open(io.BytesIO(file))))


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_scale(connection, scale):
    for width, height in [(17, 19), (64, 48), (1, 1)]:
        file = pillow_jpeg(photo(width, height, 3), "RGB")
        got = decode(connection, file, scale=scale)
        assert got.shape == (-(-height // scale), -(-width // scale), 3)
        np.testing.assert_array_equal(got, djpeg(file, "-scale", f"1/{scale}"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(connection, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = pillow_jpeg(photo(21, 13, 3), "RGB", exif=exif, quality=95)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(file))))
    np.testing.assert_array_equal(decode(connection, file), djpeg(file))
    np.testing.assert_array_equal(decode(connection, file, exif_orientation=True), upright)


def test_a_damaged_jpeg_is_taken_on_request(connection):
    file = pillow_jpeg(photo(64, 64, 3), "RGB")[:-200]
    error = refuse(connection, file)
    assert error["code"] == "bad_image"
    assert "Premature end of JPEG file" in error["message"] and "allow_damaged" in error["message"]
    shown = subprocess.run(["djpeg", "-pnm"], input=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert shown.returncode == 2  # djpeg's "there were warnings"
    np.testing.assert_array_equal(decode(connection, file, allow_damaged=True), read_pnm(shown.stdout))


@pytest.mark.parametrize("handler", ["echo", "stats", "discard"])
def test_the_result_says_that_an_image_was_damaged(connection, handler):
    whole = pillow_jpeg(photo(64, 64, 3), "RGB")
    for file, words in ((whole, []), (whole[:-200], ["Premature end of JPEG file"])):
        request = request_of(file, allow_damaged=True) | {"handler": handler}
        warnings = (harness.call(connection, request).get("result") or {}).get("warnings", [])
        assert [each["message"] for each in warnings] == words


# ---- what is refused -------------------------------------------------------------------------------------------------


def bombs():
    header = b"\x89PNG\r\n\x1a\n"
    rest = chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b"")
    yield "png", header + chunk(b"IHDR", struct.pack(">IIBBBBB", 65535, 65535, 8, 2, 0, 0, 0)) + rest
    one = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    for kind in (b"iTXt", b"zTXt", b"iCCP"):
        yield kind.decode(), (header + one + struct.pack(">I", 0x7FFFFFFF) + kind).ljust(57, b"x")
    for progressive in (False, True):
        file = pillow_jpeg(photo(16, 16, 3), "RGB", progressive=progressive)
        at = file.index(b"\xff\xc2" if progressive else b"\xff\xc0")
        yield "jpeg", file[: at + 5] + b"\xff\xff\xff\xff" + file[at + 9 :]
    file = pillow_jpeg(np.zeros((2000, 2000, 1), np.uint8), "L", progressive=True)
    at = file.rindex(b"\xff\xda")
    yield "scans", file[:-2] + file[at:-2] * 10_000 + b"\xff\xd9"


def test_bombs_cost_nothing():
    with harness.Daemon(log_level="info") as daemon, daemon.connect() as sock:
        decode(sock, pillow_jpeg(photo(64, 64, 3), "RGB"))  # whatever is set up once is there
        for name, file in bombs():
            daemon.reset_peak()
            before = daemon.rss()
            started = time.monotonic()
            error = refuse(sock, file, allow_damaged=True)
            milliseconds = (time.monotonic() - started) * 1e3
            growth = (daemon.peak() - before) / 2**20
            print(f"{name}: {error['code']} after {milliseconds:.1f} ms, {growth:.1f} MiB, file {len(file)} bytes")
            assert error["code"] in ("bad_image", "image_too_large")
            assert growth < 4 + 2 * len(file) / 2**20, name


def test_the_connection_goes_on_after_a_refusal(connection):
    assert refuse(connection, b"GIF89a")["code"] == "bad_image"
    assert refuse(connection, pillow_jpeg(photo(8, 8, 3), "RGB"), format="png")["code"] == "bad_image"
    error = refuse(connection, pillow_jpeg(photo(8, 8, 3), "RGB"), pixel_format="rgb")
    assert error["code"] == "bad_message" and "bgra8" in error["message"]
    assert decode(connection, pillow_jpeg(photo(8, 8, 3), "RGB")).shape == (8, 8, 3)


# ---- a camera --------------------------------------------------------------------------------------------------------


def test_camera_frames_stream_through(connection):
    """90 JPEG frames of 1080p, sent as fast as they are taken; prints what a camera's 30 per second would cost."""
    frames = [request_of(pillow_jpeg(photo(1920, 1080, 3, seed), "RGB", quality=85)) for seed in range(3)]
    for frame in frames:
        frame["handler"] = "discard"
    bodies = [harness.framed(frame) for frame in frames]
    with harness.Daemon(log_level="info") as daemon, daemon.connect() as sock:
        count = 90
        started, used = time.monotonic(), daemon.cpu_seconds()
        for number in range(count):
            sock.sendall(bodies[number % 3])
            reply = harness.recv_frame(sock)
            assert reply["status"] == "ok" and reply["result"]["nbytes"] == 1920 * 1080 * 3
        seconds, cpu = time.monotonic() - started, daemon.cpu_seconds() - used
    print(f"{count / seconds:.0f} frames/s of 1080p; {30 * cpu / count:.0%} of one CPU at 30 frames/s")
