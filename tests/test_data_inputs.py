"""What a user's folders, files and pictures may look like: read rightly and said, or refused in one line that names the value and the remedy."""
import base64
import io
import os
import re
import socket
import struct
import subprocess
import sys
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from drlit import core, data
from drlit.bench import bench, loading_in, open_run, score_files
from drlit.core import in_bytes, read_npz
from drlit.data import load_images
from drlit.profiles import InputError, profile
from drlit.report import report, write_rows

PICTURE = np.full((6, 8, 3), 100, np.uint8)
X, Y = np.random.default_rng(0).integers(0, 256, (12, 1, 8, 8), np.uint8), np.arange(12) % 3
HELD = np.random.default_rng(1).integers(0, 256, (12, 1, 8, 8), np.uint8)


@pytest.fixture
def folder(tmp_path):
    "Two classes of one picture each, 8 x 6 pixels, all gray 100"
    for c in "ab":
        (tmp_path / "set" / c).mkdir(parents=True)
        Image.fromarray(PICTURE).save(tmp_path / "set" / c / "1.png")
    return tmp_path / "set"


@pytest.fixture(autouse=True)
def anew(monkeypatch): monkeypatch.setattr(core, "_said", set())


def one_line(e, *words):
    assert "\n" not in str(e.value) and str(e.value).isprintable() and ";" in str(e.value)
    for w in words: assert w in str(e.value), (w, str(e.value))


def chunk(kind, body): return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, depth, colour, row):
    "A PNG file of equal rows"
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress((b"\0" + row) * height, 9)) + chunk(b"IEND", b"")


# ---------------------------------------------------------------- folders

SKIPPED = {"heic": (lambda d: (d / "a" / "x.HEIC").write_bytes(b"?"), ".heic: 1"), "no ending": (lambda d: (d / "a" / "x").write_bytes(b"?"), "without an ending: 1"),
           "text": (lambda d: [(d / "a" / f"{i}.txt").touch() for i in range(3)], ".txt: 3"), "mac": (lambda d: (d / "a" / "._1.png").write_bytes(b"\0\5\x16\7"), "hidden: 1"),
           "zip of a mac": (lambda d: [(d / "__MACOSX" / "a").mkdir(parents=True), (d / "__MACOSX" / "a" / "._1.png").touch()], "hidden: 1"),
           "left behind": (lambda d: [(d / "a" / n).touch() for n in (".DS_Store", "Thumbs.db", "desktop.ini")], "hidden: 3"),
           "loose": (lambda d: Image.fromarray(PICTURE).save(d / "x.png"), "outside class folders: 1"),
           "pipe": (lambda d: os.mkfifo(d / "a" / "x.png"), "pipes, devices or broken links: 1"), "device": (lambda d: (d / "a" / "x.png").symlink_to("/dev/zero"), "broken links: 1"),
           "socket": (lambda d: socket.socket(socket.AF_UNIX).bind(str(d / "a" / "x.png")), "broken links: 1"),
           "broken link": (lambda d: (d / "a" / "x.png").symlink_to("nowhere"), "broken links: 1"),
           "endless link": (lambda d: (d / "a" / "x.png").symlink_to("x.png"), "broken links: 1"), "link upwards": (lambda d: (d / "a" / "up").symlink_to(".."), "folders within class folders: 1"),
           "nested": (lambda d: [(d / "a" / "more").mkdir(), Image.fromarray(PICTURE).save(d / "a" / "more" / "1.png")], "folders within class folders: 1")}


@pytest.mark.parametrize("what", SKIPPED)
def test_what_is_no_picture_is_skipped_and_said(what, folder, capsys, monkeypatch):
    make, says = SKIPPED[what]
    monkeypatch.chdir(folder) # socket names are short
    make(folder.relative_to(folder) if what == "socket" else folder)
    s = load_images(folder)
    assert len(s) == 2 and s.names == ("a", "b") and (s.pixels == 100).all()
    assert says in capsys.readouterr().err


REFUSED = {"empty file": (lambda d: (d / "a" / "2.png").touch(), "a/2.png is empty"),
    "cut": (lambda d: (d / "a" / "2.png").write_bytes((d / "a" / "1.png").read_bytes()[:-30]), "a/2.png is truncated"),
           "no picture": (lambda d: (d / "a" / "2.jpg").write_bytes(b"hello"), "a/2.jpg is truncated or no image"),
           "new line": (lambda d: (d / "a" / "x\ny.png").write_bytes(b"?"), "a/x\\ny.png is truncated"),
           "empty class": (lambda d: (d / "c").mkdir(), "class folder 'c' holds no picture"),
           "heic class": (lambda d: [(d / "c").mkdir(), (d / "c" / "1.heic").touch()], "'c' holds no picture (skipped: .heic: 1)"),
           "16 bit gray": (lambda d: Image.fromarray(np.full((6, 8), 300, np.uint16)).save(d / "a" / "2.png"), "a/2.png has more than 8 bits"),
           "16 bit colour": (lambda d: (d / "a" / "2.png").write_bytes(png(8, 6, 16, 2, b"\x12\x34" * 24)), "a/2.png has more than 8 bits"),
           "16 bit ppm": (lambda d: (d / "a" / "2.ppm").write_bytes(b"P6 8 6 65535\n" + b"\x12\x34" * 144), "a/2.ppm has more than 8 bits"),
           "other size": (lambda d: Image.new("L", (9, 9)).save(d / "a" / "2.png"), "a/2.png is 9x9"),
           "a program": (lambda d: (d / "a" / "2.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\n%%EndComments\n"), "a/2.png is truncated or no image"),
           "bomb": (lambda d: (d / "a" / "2.png").write_bytes(png(9000, 9000, 1, 0, bytes(1125))), "a/2.png is 9000x9000"),
           "larger bomb": (lambda d: (d / "a" / "2.png").write_bytes(png(20000, 20000, 1, 0, bytes(2500))), "a/2.png is too large")}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_is_named(what, folder):
    make, says = REFUSED[what]
    make(folder)
    with pytest.raises(InputError) as e: load_images(folder)
    one_line(e, says)


def test_unreadable_files_and_folders_are_named(folder, monkeypatch):
    opened = Image.open
    def closed(p, *args, **kw):
        if str(p).endswith("b/1.png"): raise PermissionError(13, "Permission denied", str(p))
        return opened(p, *args, **kw)
    with monkeypatch.context() as m:
        m.setattr(Image, "open", closed)
        with pytest.raises(InputError) as e: load_images(folder)
        one_line(e, "b/1.png cannot be read (Permission denied)")
    def denied(p): raise PermissionError(13, "Permission denied", str(p))
    monkeypatch.setattr(type(folder), "iterdir", denied)
    with pytest.raises(InputError) as e: load_images(folder)
    one_line(e, "folder set cannot be read (Permission denied)")


def test_a_bomb_takes_no_memory(folder):
    "525 KB took 3.4 GiB"
    (folder / "a" / "2.png").write_bytes(png(60000, 60000, 1, 0, bytes(7500)))
    code = ("import resource, sys; from drlit.data import load_images; from drlit.profiles import InputError\npeak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nbefore = peak()\n"
            "try: load_images(sys.argv[1], side=8)\nexcept InputError as e: print(peak() - before)")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert int(subprocess.run([sys.executable, "-c", code, str(folder)], env=env, capture_output=True, text=True, check=True).stdout) < 50_000 # KB


def test_a_folder_that_does_not_fit_is_refused_before_it_is_read(folder, monkeypatch):
    monkeypatch.setattr(core, "free_memory", lambda: 500)
    with pytest.raises(InputError) as e: load_images(folder)
    one_line(e, "2 pictures of 8x6 takes 864 bytes of memory, and 500 bytes are free", "--side")


def save_palette(p, **kw):
    im = Image.fromarray(np.zeros((6, 8), np.uint8), "P")
    im.putpalette([10, 20, 30] * 256)
    im.save(p, **kw)


def save_turned(p, size=(6, 8)):
    "Half black, half white, stored on its side: orientation 6, to be turned by 90 degrees clockwise"
    a, exif = np.zeros((size[1], size[0], 3), np.uint8), Image.Exif()
    a[:size[1] // 2] = 255
    exif[0x112] = 6
    Image.fromarray(a).save(p, exif=exif, **({"lossless": True} if p.suffix == ".webp" else {}))


READ = {"transparent": ("2.png", lambda p: Image.fromarray(np.zeros((6, 8, 4), np.uint8)).save(p), 255, "transparent and laid on white: 1"),
        "half transparent": ("2.png", lambda p: Image.fromarray(np.full((6, 8, 4), (0, 0, 0, 127), np.uint8)).save(p), 128, "transparent and laid on white: 1"),
        "opaque": ("2.png", lambda p: Image.fromarray(np.full((6, 8, 4), (7, 7, 7, 255), np.uint8)).save(p), 7, ""),
        "gray and transparent": ("2.png", lambda p: Image.fromarray(np.zeros((6, 8, 2), np.uint8), "LA").save(p), 255, "laid on white: 1"),
        "palette": ("2.png", lambda p: save_palette(p, transparency=0), 255, "laid on white: 1"), "gif": ("2.gif", lambda p: save_palette(p, transparency=0), 255, "laid on white: 1"),
        "moving": ("2.gif", lambda p: Image.new("L", (8, 6), 9).save(p, save_all=True, append_images=[Image.new("L", (8, 6), 99)]), 9, "with several frames, of which the first is read: 1"),
        "cmyk": ("2.jpg", lambda p: Image.new("CMYK", (8, 6)).save(p), 255, "in CMYK: 1"), "jfif": ("2.jfif", lambda p: Image.fromarray(PICTURE).save(p, "JPEG"), 100, ""),
        "one bit": ("2.png", lambda p: Image.new("1", (8, 6), 1).save(p), 255, "")}


@pytest.mark.parametrize("what", READ)
def test_pictures_of_every_kind(what, folder, capsys):
    name, write, gray, says = READ[what]
    write(folder / "a" / name)
    s = load_images(folder)
    assert s.shape == (3, 6, 8) and (s.pixels[1].int() - gray).abs().max() <= 1 and says in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_pictures_are_turned_as_their_exif_data_say(ending, folder):
    "Orientation 6: the upper half of what is stored is the right half of what is seen"
    save_turned(folder / "a" / f"2.{ending}")
    seen = load_images(folder).pixels[1, 0].float()
    assert seen.shape == (6, 8) and seen[:, :3].mean() < 30 and seen[:, 5:].mean() > 225


def test_classes_stand_in_natural_order_and_numbers_are_said(tmp_path, capsys):
    "Sorted as text, 10 came second: a perfect model had an accuracy of a third"
    for c in ("10", "9", "2", "1"):
        (tmp_path / c).mkdir()
        Image.new("L", (4, 4), int(c)).save(tmp_path / c / "x.png")
    s = load_images(tmp_path)
    assert s.names == ("1", "2", "9", "10") and s.pixels[:, 0, 0, 0].tolist() == [1, 2, 9, 10] and s.labels.tolist() == [0, 1, 2, 3]
    assert "class folders are numbers, in numeric order: '1', '2', '9', '10'" in capsys.readouterr().err
    assert load_images(tmp_path, classes=["10", "1", "2", "9"]).labels.tolist() == [1, 2, 3, 0]
    assert load_images(tmp_path, classes=list("wxyz")).names == tuple("wxyz")


# ---------------------------------------------------------------- npz

def npy(shape, kind="|u1", body=b""):
    "A .npy file that claims a shape"
    f = io.BytesIO()
    np.lib.format.write_array_header_1_0(f, dict(descr=kind, fortran_order=False, shape=shape))
    return f.getvalue() + body


GOOD = [("images.npy", npy(X.shape, body=X.tobytes())), ("labels.npy", npy(Y.shape, "<i8", Y.astype("<i8").tobytes()))]


def archive(path, entries, method=zipfile.ZIP_STORED, bits=0, number=None):
    "A zip file whose headers may lie about encryption and compression"
    with zipfile.ZipFile(path, "w", method) as z:
        for name, body in entries: z.writestr(name, body)
    b = bytearray(path.read_bytes())
    for mark, flag, how in ((b"PK\x01\x02", 8, 10), (b"PK\x03\x04", 6, 8)):
        i = b.find(mark)
        while i >= 0:
            b[i + flag] |= bits
            if number is not None: b[i + how] = number
            i = b.find(mark, i + 4)
    path.write_bytes(b)
    return path


ARCHIVES = {"encrypted": (dict(bits=1), GOOD, "images.npy is encrypted"), "deflate64": (dict(number=9), GOOD, "compressed by method 9"), "zstd": (dict(number=93), GOOD, "compressed by method 93"),
            "9 TB": ({}, [("images.npy", npy((3 * 10 ** 9, 1, 60, 50))), GOOD[1]], "claims (3000000000, 1, 60, 50) of uint8, 9.0 TB, and holds 0 bytes"),
            "negative": ({}, [("images.npy", npy((-1, 1, 8, 8))), GOOD[1]], "claims (-1, 1, 8, 8)"),
            "pickle": ({}, [("images.npy", npy((1,), "|O", b"cos\nsystem\n")), GOOD[1]], "holds a pickle"), "no array": ({}, [("images.npy", b"hello"), GOOD[1]], "has no 'images'"),
            "future": ({}, [("images.npy", b"\x93NUMPY\x09\x00" + b"x" * 50), GOOD[1]], "truncated or damaged"),
            "no header": ({}, [("images.npy", b"\x93NUMPY\x01\x00\x0a\x00{'descr':  "), GOOD[1]], "truncated or damaged"),
            "a deep header": ({}, [("images.npy", b"\x93NUMPY\x01\x00\x60\xea" + b"(" * 60000), GOOD[1]], "truncated or damaged")}


@pytest.mark.parametrize("what", ARCHIVES)
def test_archives_that_cannot_be_read_are_named(what, tmp_path):
    lies, entries, says = ARCHIVES[what]
    with pytest.raises(InputError) as e: load_images(archive(tmp_path / "a.npz", entries, **lies))
    one_line(e, "a.npz", says)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_that_stands_twice_is_named(tmp_path):
    with pytest.raises(InputError) as e: load_images(archive(tmp_path / "a.npz", [*GOOD, GOOD[0]]))
    one_line(e, "holds images.npy 2 times")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_compression_of_python_is_read(method, tmp_path):
    s = load_images(archive(tmp_path / "a.npz", [*GOOD, ("__MACOSX/._images.npy", b"?"), ("sub/", b"")], method))
    assert np.array_equal(s.pixels, X) and s.names == ("0", "1", "2")


def test_a_zip_bomb_is_refused_before_it_is_read(tmp_path, monkeypatch):
    bomb = archive(tmp_path / "a.npz", [("images.npy", npy((100, 1, 1000, 1000), body=bytes(10 ** 8))), GOOD[1]], zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 10 ** 6
    monkeypatch.setattr(core, "free_memory", lambda: 5e7)
    monkeypatch.setattr(core, "read_array", lambda *a, **k: pytest.fail("it was read"))
    with pytest.raises(InputError) as e: read_npz(bomb)
    one_line(e, "takes 100.0 MB of memory, and 50.0 MB are free", "fewer images")


def test_out_of_memory_is_one_line(tmp_path, monkeypatch):
    path = archive(tmp_path / "a.npz", GOOD)
    def full(*args, **kw): raise MemoryError("Unable to allocate 9.00 TiB for an array")
    monkeypatch.setattr(core, "read_array", full)
    for f in (load_images, lambda p: score_files(p, p)):
        with pytest.raises(InputError) as e: f(path)
        one_line(e, "9.00 TiB", "fewer images")
    monkeypatch.undo()
    monkeypatch.setattr("drlit.bench.score_samples", lambda *a, **k: torch.empty(10 ** 16))
    with pytest.raises(InputError) as e: score_files(path, path)
    one_line(e, "scoring: not enough memory", "score fewer")
    assert [in_bytes(n) for n in (0, 999, 1000, 525_000, 9e12)] == ["0 bytes", "999 bytes", "1.0 KB", "525.0 KB", "9.0 TB"]


def test_no_damaged_archive_ends_in_a_traceback(tmp_path):
    whole, rng, path = archive(tmp_path / "a.npz", GOOD, zipfile.ZIP_DEFLATED).read_bytes(), np.random.default_rng(0), tmp_path / "b.npz"
    for k in range(300):
        b = bytearray(whole)
        for _ in range(rng.integers(1, 4)): b[rng.integers(2, len(b))] = rng.integers(256)
        path.write_bytes(b[:rng.integers(3, len(b) + 1)] if k % 3 == 0 else b)
        try: load_images(path)
        except InputError as e: assert "\n" not in str(e)


@pytest.mark.parametrize("make", [os.mkfifo, lambda p: p.symlink_to("/dev/zero"), lambda p: p.write_bytes(b""), lambda p: p.write_bytes(b"\x89PNG")], ids=["pipe", "device", "empty", "picture"])
def test_what_is_no_archive_is_refused_and_waits_for_nothing(make, tmp_path):
    make(tmp_path / "a.npz")
    with pytest.raises(InputError) as e: load_images(tmp_path / "a.npz")
    one_line(e, "a.npz")


ARRAYS = [(dict(images=X > 9), "bool.*astype"), (dict(images=X.astype("u2") * 256), "uint16 from 0 to 6[0-9]{4}.*float32"),
    (dict(images=X.astype(int)), r"int64 from 0 to 25.*astype\('uint8'\)"), (dict(images=(X / 255).astype(np.longdouble)), "float(96|128).*astype"),
          (dict(images=X / 255 + 0j), "complex128"), (dict(images=X.astype(str)), "dtype <U"), (dict(images=np.float32(1)), "0 dimensions"), (dict(images=X[:0], labels=Y[:0]), "empty"),
          (dict(images=np.where(X == 255, 1.0002, X / 255)), "to 1.0002; expected"),
          (dict(labels=Y / 2), r"float64.*instead of 0.5"), (dict(labels=np.where(Y, np.nan, 0)), "instead of nan"), (dict(labels=Y - 1), "label -1 is negative"),
          (dict(labels=Y - 1, names=list("abc")), "label -1 is negative"),
          (dict(labels=Y * 10 ** 12, names=list("abc")), "label 2000000000000"), (dict(labels=Y[:5]), "5 labels for 12 images"), (dict(labels=np.int64(1)), r"shape \(\)"),
          (dict(labels=Y > 0), "dtype bool"),
          (dict(names=["a", "b"]), "label 2 but only 2 class names"), (dict(names=list("aba")), "two classes are called 'a'"), (dict(names=[1.5, 2, 3]), "names of dtype float64"),
          (dict(names="abc"), r"names of dtype <U3 and shape \(\)"),
          (dict(names=[["a"], ["b"], ["c"]]), "shape"), (dict(names=[b"\xff", b"b", b"c"]), "no UTF-8"), (dict(publishable="no"), "publishable = 'no'"),
          (dict(publishable=[True, False]), "publishable = "), (dict(publishable=7), "publishable = 7")]


@pytest.mark.parametrize("arrays, says", ARRAYS)
def test_arrays_that_cannot_be_used_say_what_to_save(arrays, says, tmp_path):
    np.savez(tmp_path / "a.npz", **({"images": X, "labels": Y} | arrays))
    with pytest.raises(InputError, match="a.npz: .*" + says) as e: load_images(tmp_path / "a.npz")
    one_line(e)


@pytest.mark.parametrize("images", [np.asfortranarray(X), (X / 255).astype(">f4"), (X / 255).astype(">f8"), X[::-1][::-1], (X / 255 * (1 + 2e-7)).astype("f4"), X.transpose(0, 2, 3, 1), X[:, 0]])
def test_any_layout_in_memory_is_the_same_set(images, tmp_path):
    np.savez(tmp_path / "a.npz", images=images, labels=Y.astype(">i4"))
    assert load_images(tmp_path / "a.npz").keys == data.ImageSet(X, Y).keys


def test_huge_labels_are_names_not_lengths(tmp_path):
    np.savez(tmp_path / "a.npz", images=X, labels=Y * 10 ** 12)
    assert load_images(tmp_path / "a.npz").names == ("0", "1000000000000", "2000000000000")
    with pytest.raises(InputError, match="label 2000000000000"): data.ImageSet(X, Y * 10 ** 12)


# ---------------------------------------------------------------- drlit score

@pytest.fixture
def save(tmp_path):
    def write(name, images=X, labels=Y):
        np.savez(tmp_path / f"{name}.npz", images=images, **({} if labels is None else dict(labels=labels)))
        return tmp_path / f"{name}.npz"
    return write


def test_score_reads_every_form_that_its_help_names(save, tmp_path):
    for i, (x, y) in enumerate(zip(X, Y)):
        for p in (tmp_path / "classes" / str(y), tmp_path / "flat"):
            p.mkdir(parents=True, exist_ok=True)
            Image.fromarray(x[0]).save(p / f"{i:02}.png")
    target = save("target")
    bare = [save("u8", X, None), save("last", X.transpose(0, 2, 3, 1), None), save("flat", X[:, 0], None), save("floats", (X / 255).astype("f4"), None), save("step",
        (X / 255 * (1 + 2e-7)).astype("f4"), None), tmp_path / "flat"]
    for f in (*bare, tmp_path / "classes", save("labelled")):
        [row] = score_files(f, target, metrics=["mse"])
        assert row["value"] == pytest.approx(0, abs=1e-12) and row["coverage"] == 1 and row["features"] == ("matching=global" if f in bare else "")


SCORED = [((X, None, 0), "12 of the 12 images"), ((np.concatenate([HELD[:9], X[9:]]), Y, 0), "3 of the 12 images"),
    ((HELD[:9], Y[:9], 0), "holds 3 images of class '0', .* 4; the held-out test needs equal counts"), ((HELD, None, 1), "has no labels and")]


@pytest.mark.parametrize("held, says", SCORED)
def test_held_out_files_that_are_none_are_refused(held, says, save):
    images, labels, labelled = held
    with pytest.raises(InputError, match=says): score_files(save("rec", HELD[::-1], Y if labels is not None or labelled else None), save("target"), save("held", images, labels))


def test_what_a_score_must_say(save, capsys):
    target = save("target")
    score_files(target, target, metrics=["mse"])
    assert "hold the same images in the same order" in capsys.readouterr().err
    near = np.clip(X.astype(int) + np.where(X > 9, -1, 1), 0, 255).astype(np.uint8)
    score_files(save("rec", HELD), save("target"), save("near", near), metrics=["mse"])
    assert "12 images in" in (said := capsys.readouterr().err) and "nearly equal" in said
    score_files(save("rec", HELD), save("twice", np.concatenate([X[:9], X[:3]])), metrics=["mse"])
    assert "3 of 12 images are exact duplicates" in capsys.readouterr().err
    assert score_files(save("rec"), target, metrics=["ssim"])[0]["features"] == "ssim@window7"


# ---------------------------------------------------------------- private pictures

MARK = np.random.default_rng(7).integers(0, 256, (16, 16), np.uint8) # a picture that no file but the user's own may hold


def holds(path, marks):
    "Does a file hold one of these pictures: as an array, or as a PNG in a page?"
    if path.suffix == ".npz":
        arrays = [a for a in read_npz(path).values() if a.ndim == 4]
        return any(np.abs(np.asarray(a, float) - m / 255).max((1, 2, 3)).min() < 1e-3 for a in arrays for m in marks if a.shape[2:] == m.shape)
    text = path.read_text(errors="replace")
    found = [Image.open(io.BytesIO(base64.b64decode(b))).convert("L") for b in re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", text)]
    return any(np.array_equal(np.asarray(im)[i:i + 16, j:j + 16], m) for im in found for m in marks for i in range(0, im.height - 15) for j in range(0, im.width - 15))


@pytest.fixture
def own(tmp_path):
    "Thirty-six pictures of one's own"
    g = np.random.default_rng(3)
    x = g.integers(0, 256, (36, 1, 16, 16), np.uint8)
    np.savez(tmp_path / "own.npz", images=x, labels=np.arange(36) % 3)
    return tmp_path / "own.npz", [im[0] for im in x]


def quick(**fields): return replace(profile("quick"), attacks=("nulls",
    "mi_face"), sizes=(9,), seeds=(0,), metrics=("mse",), options={"mi_face": {"steps": 2}}, training=dict(min_epochs=1, max_epochs=1), **fields)


def shown_in(out, tmp_path, marks):
    report(out)
    write_rows(out, tmp_path / f"rows-{out.name}")
    leaves = [*out.glob("report.html"), *out.glob("pictures/*"), *out.glob("results.csv"), *(tmp_path / f"rows-{out.name}").iterdir()]
    return [p.name for p in leaves if holds(p, marks)]


@pytest.mark.parametrize("role", ["data", "similar"])
def test_ones_own_pictures_stay_where_they_are(role, own, tmp_path):
    "Private, held-out and auxiliary images stood in report.html and in pictures/"
    path, marks = own
    sets = dict(data=str(path), similar="") if role == "data" else dict(data="digits", similar=str(path))
    bench(quick(**sets), tmp_path / "private")
    assert shown_in(tmp_path / "private", tmp_path, marks) == []
    bench(quick(**sets), tmp_path / "public", loading=dict(publishable=True))
    assert any(holds(p, marks) for p in (tmp_path / "public" / "pictures").iterdir())
    bench(quick(**sets), tmp_path / "public") # permission is given anew, or withdrawn
    assert shown_in(tmp_path / "public", tmp_path, marks) == []


def test_a_file_may_say_that_it_may_be_shown_and_named_sets_keep_their_own(own, tmp_path):
    path, _ = own
    assert not load_images(path).publishable and load_images(path, publishable=True).publishable and load_images("digits").publishable and not load_images("digits", publishable=False).publishable
    d = read_npz(path)
    np.savez(tmp_path / "open.npz", **d, publishable=True)
    assert load_images(tmp_path / "open.npz").publishable and not load_images(tmp_path / "open.npz", publishable=False).publishable
    assert not data.ImageSet(X, Y).publishable


def test_a_run_remembers_how_pictures_are_read(tmp_path):
    for i in range(36):
        (tmp_path / "set" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (12 + i % 3, 12), np.uint8)).save(tmp_path / "set" / "ab"[i % 2] / f"{i}.png")
    p = quick(data=str(tmp_path / "set"), similar="")
    with pytest.raises(InputError, match="--side"): open_run(p, tmp_path / "run")
    first = open_run(p, tmp_path / "run", loading=dict(side=8, classes=("b", "a"), publishable=True))
    again = open_run(p, tmp_path / "run")
    one, two = (r.shop.images(p.data) for r in (first, again))
    assert one.hash == two.hash and two.shape == (1, 8, 8) and two.names == ("b", "a") and one.publishable and not two.publishable
    assert loading_in(tmp_path / "run")[p.data] == dict(side=8, classes=["b", "a"])
    with pytest.raises(InputError, match="have changed"): open_run(p, tmp_path / "run", loading=dict(side=7))
