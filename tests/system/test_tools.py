# SPDX-License-Identifier: Apache-2.0
"""Every tool that people copy with ends with the image loaded, or with a non-zero exit."""
import os
import shlex
import subprocess
import sys
import time

import pytest

from harness import SLOW, need, run, shell
from images import BLINK, HX8K, UPPER, flip, sha256

PYTHON = shlex.quote(sys.executable)

# name, script ($SRC the file, $IMG the card's image, $TMP a scratch folder), and what it needs.
# Each has to load a good image with exit status 0.
LOADS = [
    ("cp", "cp $SRC $IMG"),
    ("cp -f", "cp -f $SRC $IMG"),
    ("cp -p", "cp -p $SRC $IMG"),
    ("cp -a", "cp -a $SRC $IMG"),
    ("cp --remove-destination", "cp --remove-destination $SRC $IMG"),
    ("cat >", "cat $SRC > $IMG"),
    ("cat >>", "cat $SRC >> $IMG"),
    ("tee", "tee $IMG < $SRC > /dev/null"),
    ("tee -a", "tee -a $IMG < $SRC > /dev/null"),
    ("dd", "dd if=$SRC of=$IMG status=none"),
    ("dd bs=1", "dd if=$SRC of=$IMG bs=1 status=none"),
    ("dd bs=7", "dd if=$SRC of=$IMG bs=7 status=none"),
    ("dd bs=1M", "dd if=$SRC of=$IMG bs=1M status=none"),
    ("dd conv=fsync", "dd if=$SRC of=$IMG bs=4k conv=fsync status=none"),
    ("dd conv=fdatasync", "dd if=$SRC of=$IMG bs=4k conv=fdatasync status=none"),
    ("dd conv=notrunc", "dd if=$SRC of=$IMG bs=4k conv=notrunc status=none"),
    ("dd conv=sparse", "dd if=$SRC of=$IMG bs=512 conv=sparse status=none"),
    ("dd oflag=sync", "dd if=$SRC of=$IMG bs=4k oflag=sync status=none"),
    ("dd oflag=direct", "dd if=$SRC of=$IMG bs=4k oflag=direct status=none"),
    ("dd two halves", "dd if=$SRC of=$IMG bs=1000 skip=10 seek=10 conv=notrunc,sparse status=none;"
                      " dd if=$SRC of=$IMG bs=4k status=none"),
    ("gzip -dc >", "gzip -c $SRC | gzip -dc > $IMG"),
    ("install", "install $SRC $IMG"),
    ("install -m", "install -m 0644 $SRC $IMG"),
    ("mv", "cp $SRC $TMP/moved && mv $TMP/moved $IMG"),
    ("mv -f", "cp $SRC $TMP/moved && mv -f $TMP/moved $IMG"),
    ("rsync", "rsync $SRC $IMG"),
    ("rsync -t", "rsync -t $SRC $IMG"),
    ("rsync -c", "rsync -c $SRC $IMG"),
    ("rsync --inplace", "rsync --inplace $SRC $IMG"),
    ("rsync --inplace --no-whole-file", "rsync --inplace --no-whole-file $SRC $IMG"),
    ("rsync --whole-file", "rsync --whole-file $SRC $IMG"),
    ("curl -o", "curl -sS -o $IMG file://$SRC"),
    ("vim :w", "vim -u NONE -es -b $SRC -c 'set noeol nofixeol' -c \"w! $IMG\" -c 'qa!'"),
    ("python write", PYTHON + " -c 'import sys; f = open(sys.argv[2], \"wb\");"
                     " f.write(open(sys.argv[1], \"rb\").read()); f.close()' $SRC $IMG"),
    ("python shutil.copyfile", PYTHON + " -c 'import shutil, sys; shutil.copyfile(*sys.argv[1:])' $SRC $IMG"),
    ("python shutil.copy", PYTHON + " -c 'import shutil, sys; shutil.copy(*sys.argv[1:])' $SRC $IMG"),
    ("python shutil.copy2", PYTHON + " -c 'import shutil, sys; shutil.copy2(*sys.argv[1:])' $SRC $IMG"),
    ("python sendfile", PYTHON + " -c 'import os, sys; i = os.open(sys.argv[1], os.O_RDONLY);"
                        " o = os.open(sys.argv[2], os.O_WRONLY | os.O_TRUNC); n = os.fstat(i).st_size; at = 0\n"
                        "while at < n: at += os.sendfile(o, i, at, n - at)\nos.close(o)' $SRC $IMG"),
    ("(head; tail) >", "( head -c 10000 $SRC; tail -c +10001 $SRC ) > $IMG; true"),
    ("socat", "socat -u OPEN:$SRC OPEN:$IMG"),
    ("tar -xO >", "tar -C / -cf - ${SRC#/} 2>/dev/null | tar -xOf - > $IMG"),
    ("perl", "perl -e 'undef $/; open my $i, \"<:raw\", $ARGV[0]; open my $o, \">:raw\", $ARGV[1] or exit 1;"
             " print {$o} <$i>; close $o or exit 1' $SRC $IMG"),
]

# These lose an error of close(); README names them. They must still not lose one of write().
DEAF = {"tar -xO >", "socat", "python write", "(head; tail) >"}

NEEDS = {"rsync": "rsync", "curl": "curl", "vim": "vim", "socat": "socat", "perl": "perl"}

# What a user would believe to be a copy and is none: exit status and what stays loaded.
NOTHING = [
    ("touch", "touch $IMG"),
    (": >", ": > $IMG"),
    ("cp /dev/null", "cp /dev/null $IMG"),
    ("truncate -s0", "truncate -s0 $IMG"),
    ("cat /dev/null >>", "cat /dev/null >> $IMG"),
    ("rm", "rm $IMG"),
    ("chmod", "chmod 0660 $IMG"),
    ("cp -n", "cp -n $SRC $IMG"),
]

REFUSED = [
    ("cp --reflink=always", "cp --reflink=always $SRC $IMG"),
    ("cp -b", "cp -b $SRC $IMG"),
    ("ln -f", "ln -f $SRC $IMG"),
    ("ln -sf", "ln -sf $SRC $IMG"),
    ("mkdir", "mkdir $DEV/sub"),
    ("mkfifo", "mkfifo $DEV/fifo"),
    ("rm state", "rm -f $DEV/state"),
    ("mv image elsewhere", "mv $DEV/state $DEV/other"),
    ("truncate larger", "truncate -s 100000000000 $IMG && false"),
]

table = []


@pytest.fixture(scope="module", autouse=True)
def printed(request):
    yield
    lines = [f"{'tool':34} {'offered':12} {'exit':>4}  result", "-" * 72]
    lines += [f"{tool:34} {what:12} {status:4}  {result}" for tool, what, status, result in table]
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print("\n" + "\n".join(lines))


def do(card, script, source, tmp_path):
    need_of = script.split()[0]
    if need_of in NEEDS:
        need(NEEDS[need_of])
    names = {"SRC": str(source), "IMG": str(card.image), "DEV": str(card.dir), "TMP": str(tmp_path)}
    return shell("set -o pipefail; " + script, env=dict(os.environ, LC_ALL="C", **names), timeout=60 * SLOW)


def note(tool, what, done, card, wanted):
    loaded = card.sha
    result = "loaded" if loaded == wanted else "empty" if not loaded else "unchanged"
    table.append((tool, what, done.returncode, result + (f" ({card.error})" if card.error else "")))
    return loaded


@pytest.mark.parametrize("tool, script", LOADS, ids=[name for name, _ in LOADS])
def test_tool_loads_a_good_image(card, tmp_path, tool, script):
    card.load(BLINK)
    done = do(card, script, UPPER, tmp_path)
    loaded = note(tool, "good", done, card, sha256(UPPER))
    assert done.returncode == 0, done.stderr + card.error
    assert loaded == sha256(UPPER), done.stderr + card.error
    assert card.state == "configured"
    assert card.error == ""
    assert card.image.read_bytes() == UPPER.read_bytes()


@pytest.mark.parametrize("tool, script", LOADS, ids=[name for name, _ in LOADS])
def test_tool_reports_a_wrong_part(card, tmp_path, tool, script):
    card.load(BLINK)
    done = do(card, script, HX8K, tmp_path)
    loaded = note(tool, "wrong part", done, card, sha256(HX8K))
    assert loaded == sha256(BLINK)
    assert card.state == "configured"
    assert "iCE40-HX8K" in card.error and "iCE40-HX1K" in card.error
    # The write that shows the wrong part fails: no tool can miss it, but a script that ends in `true`.
    assert done.returncode != 0 or tool == "(head; tail) >", done


@pytest.mark.parametrize("tool, script", LOADS, ids=[name for name, _ in LOADS])
def test_tool_reports_a_damaged_image(card, tmp_path, tool, script):
    bad = tmp_path / "bad.bin"
    bad.write_bytes(flip(UPPER.read_bytes(), 20000, 3))
    os.utime(bad, (1, 1))  # rsync skips what has the size and the second of the loaded one
    card.load(BLINK)
    done = do(card, script, bad, tmp_path)
    loaded = note(tool, "damaged", done, card, sha256(bad))
    assert loaded == sha256(BLINK)
    assert "CRC" in card.error or "damaged" in card.error
    assert done.returncode != 0 or tool in DEAF, done


@pytest.mark.parametrize("tool, script", LOADS, ids=[name for name, _ in LOADS])
def test_tool_reports_a_cut_image(card, tmp_path, tool, script):
    cut = tmp_path / "cut.bin"
    cut.write_bytes(UPPER.read_bytes()[:20000])
    # Where the tool does not truncate, the rest is that of the loaded image: another one.
    card.load(BLINK)
    done = do(card, script, cut, tmp_path)
    loaded = note(tool, "cut", done, card, sha256(cut))
    assert loaded == sha256(BLINK)
    assert card.state == "configured"
    assert done.returncode != 0 or tool in DEAF, done
    assert card.error


@pytest.mark.parametrize("tool, script", NOTHING, ids=[name for name, _ in NOTHING])
def test_tool_that_sends_nothing_does_nothing(card, tmp_path, tool, script):
    card.load(BLINK)
    before = len(card.history())
    done = do(card, script, UPPER, tmp_path)
    assert note(tool, "nothing", done, card, sha256(UPPER)) == sha256(BLINK)
    assert done.returncode == 0, done.stderr
    assert len(card.history()) == before
    assert card.error == ""


@pytest.mark.parametrize("tool, script", REFUSED, ids=[name for name, _ in REFUSED])
def test_tool_is_refused(card, tmp_path, tool, script):
    card.load(BLINK)
    done = do(card, script, UPPER, tmp_path)
    assert note(tool, "refused", done, card, sha256(UPPER)) == sha256(BLINK)
    assert done.returncode != 0
    names = set(os.listdir(card.dir))
    assert {"image", "state"} <= names and not names & {"sub", "fifo", "other"}


def test_no_temporary_of_any_tool_is_left(card):
    listed = {"image", "check", "state", "progress", "error", "name", "vendor", "part", "idcode", "serial",
              "board", "backend", "location", "loaded", "history", "telemetry", "ctl", "stop", "lease",
              "events", "slots", "io", "fits", "nodes", "shell", "compatible", "afus", "formats", "takes"}
    left = set(os.listdir(card.dir)) - listed
    # An editor's or rsync's temporary goes 60 s after its last close at the latest.
    assert all(name.startswith(".") or name.endswith("~") for name in left), left


def test_a_good_image_follows_a_bad_one_through_the_same_open(card, tmp_path):
    card.load(BLINK)
    fd = os.open(card.image, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        with pytest.raises(OSError):
            os.write(fd, b"not an image at all")
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        assert os.write(fd, UPPER.read_bytes()) == UPPER.stat().st_size
    finally:
        os.close(fd)
    assert card.sha == sha256(UPPER)


def test_make_programs_once_and_is_then_up_to_date(card, tmp_path):
    need("make")
    (tmp_path / "design.bin").write_bytes(UPPER.read_bytes())
    (tmp_path / "Makefile").write_text(f"{card.image}: design.bin ; cp $< $@\n")
    card.load(BLINK)
    # The source is newer than what is loaded, as after a build.
    now = time.time_ns()  # finer than the kernel's own idea of now for a file
    os.utime(tmp_path / "design.bin", ns=(now, now))
    first = run(["make", "-C", str(tmp_path)])
    assert first.returncode == 0 and "cp" in first.stdout, first
    assert card.sha == sha256(UPPER)
    again = run(["make", "-C", str(tmp_path)])
    assert again.returncode == 0 and "up to date" in again.stdout, again


def test_mmap_for_writing_is_enodev(card):
    import mmap
    fd = os.open(card.image, os.O_RDWR | os.O_CLOEXEC)
    try:
        with pytest.raises(OSError) as e:
            mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_WRITE)
        assert e.value.errno == 19  # ENODEV
    finally:
        os.close(fd)


def test_copy_from_card_to_card(module_fpga, tmp_path):
    two = module_fpga(sim=2)
    a, b = two.card(0), two.card(1)
    a.load(UPPER)
    done = run(["cp", str(a.image), str(b.image)])
    assert done.returncode == 0, done.stderr + b.error
    assert b.sha == sha256(UPPER)
    assert b.value("loaded/source") == "dev0"
    assert b.exchange(b"card to card") == b"CARD TO CARD"


def test_copy_out_gives_the_bytes_that_were_loaded(card, tmp_path):
    card.load(UPPER)
    out = tmp_path / "out.bin"
    subprocess.run(["cp", card.image, out], check=True)
    assert out.read_bytes() == UPPER.read_bytes()
