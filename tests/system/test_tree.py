# SPDX-License-Identifier: Apache-2.0
"""The tree: names, sizes, times, modes, polling, crawlers (DESIGN 1)."""
import errno
import grp
import json
import mmap
import os
import re
import select
import stat
import subprocess
import threading
import time

import pytest

from harness import SLOW, need, run, shell, until
from images import BLINK, HX8K, REGS, UPPER, sha256

TOP = ["README", "status", "status.json", "events", "metrics", "version", "dev0", "by-id", "by-path",
       "by-part", "remote"]
DEV = ["image", "check", "state", "progress", "error", "name", "vendor", "part", "idcode", "serial", "board",
       "backend", "location", "loaded", "history", "telemetry", "ctl", "stop", "lease", "events", "slots",
       "io", "fits", "nodes"]
LOADED = ["name", "sha256", "size", "format", "part", "design", "tool", "built", "source", "loaded_at",
          "loaded_by", "duration_ms", "confirmed_by"]
# Beside those of the contract: what images are compared with, and the image's facts as inspect --json names them.
DEV_MORE = ["shell", "compatible", "afus", "formats", "takes"]
LOADED_MORE = ["confidence", "vendor", "family", "also_parts", "package", "speed", "idcode", "declared_size",
               "partial", "compressed", "encrypted", "signed", "shell", "interface", "unique_id", "user_id",
               "dies", "kernels", "afus", "needs", "firmware", "targets", "compatible", "integrity", "detail"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")


def files(top):
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                yield path


def test_the_names_are_those_of_the_contract(fabric, card):
    assert sorted(os.listdir(fabric.mount)) == sorted(TOP)
    card.load(BLINK)
    assert sorted(os.listdir(card.dir)) == sorted(DEV + DEV_MORE)
    assert sorted(os.listdir(card.dir / "loaded")) == sorted(LOADED + LOADED_MORE)
    for name in ("slots", "nodes", "fits"):
        assert os.listdir(card.dir / name) == []
    assert os.listdir(fabric.mount / "remote") == []


def test_the_mount_is_of_its_own_type(fabric):
    line = next(line for line in open("/proc/self/mounts") if f" {fabric.mount} " in line)
    assert line.split()[2] == "fuse.fabricfs"
    for option in ("nosuid", "nodev", "default_permissions", "allow_other"):
        assert option in line.split()[3].split(","), line


def test_every_size_is_what_a_reader_gets(fabric, card):
    card.load(UPPER)
    for path in files(fabric.mount):
        if "/io/" in path:
            continue
        with open(path, "rb") as f:
            size = os.fstat(f.fileno()).st_size
            data = f.read()
        assert len(data) == size, path
    for path in (card.dir / "name", card.dir / "state", card.dir / "loaded/sha256", fabric.mount / "README"):
        assert os.stat(path).st_size == len(path.read_bytes()), path


def test_every_text_ends_in_a_newline_or_is_empty(fabric, card):
    card.load(UPPER)
    for path in files(fabric.mount):
        if path.endswith("/image") or "/io/" in path:
            continue
        with open(path, encoding="utf-8") as f:
            text = f.read()
        assert not text or text.endswith("\n"), path


def test_all_ways_of_reading_see_the_same_bytes(fabric, card, tmp_path):
    card.load(UPPER)
    for path in (card.image, card.dir / "loaded/sha256", fabric.mount / "README", card.dir / "history"):
        want = path.read_bytes()
        assert subprocess.run(["cat", path], capture_output=True, check=True).stdout == want
        assert int(run(["wc", "-c", str(path)]).stdout.split()[0]) == len(want)
        subprocess.run(["cp", path, tmp_path / "copy"], check=True)
        assert (tmp_path / "copy").read_bytes() == want
        with open(path, "rb") as f:
            assert f.read(1) + f.read() == want
            with mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as m:
                assert m[:] == want
        with open(path, "rb") as f, open(tmp_path / "sent", "wb") as out:
            while os.sendfile(out.fileno(), f.fileno(), None, 1 << 20):
                pass
        assert (tmp_path / "sent").read_bytes() == want


def test_an_open_reads_one_moment_and_offset_0_reads_anew(card):
    card.load(BLINK)
    with open(card.dir / "history", "rb", buffering=0) as f:
        before = f.read(1 << 20)
        card.load(UPPER)
        assert f.read(1 << 20) == b""
        f.seek(10)
        assert f.read(1 << 20) == before[10:]
        f.seek(0)
        after = f.read(1 << 20)
    assert after != before and after.endswith(b"\n")
    assert json.loads(after.splitlines()[-1])["sha256"] == sha256(UPPER)


def test_a_value_that_changed_is_seen_at_once_through_an_old_open(card):
    card.load(BLINK)
    with open(card.dir / "loaded/sha256", "rb", buffering=0) as f:
        assert f.read(100).strip().decode() == sha256(BLINK)
        for image in (UPPER, REGS, BLINK):
            card.load(image)
            assert os.pread(f.fileno(), 100, 0).strip().decode() == sha256(image)


def test_loaded_tells_all_of_what_was_loaded(card, tmp_path):
    source = tmp_path / "my design.bin"
    source.write_bytes(UPPER.read_bytes())
    subprocess.run(["cp", source, card.image], check=True)
    assert card.value("loaded/size") == str(UPPER.stat().st_size)
    assert card.value("loaded/format") == "ice40"
    assert card.value("loaded/part") == "iCE40-HX1K"
    assert card.value("loaded/loaded_by") == "root"
    assert TIME.match(card.value("loaded/loaded_at"))
    assert int(card.value("loaded/duration_ms")) >= 0
    confirmed = card.value("loaded/confirmed_by")
    assert "CRC" in confirmed.upper() or "DONE" in confirmed, confirmed


def test_the_facts_of_the_card(card):
    assert card.value("part") == "iCE40-HX1K"
    assert card.value("backend") == "sim"
    assert card.value("name") == "sim0"
    assert card.value("idcode") == ""


def test_state_and_error_follow_what_happens(card):
    card.load(BLINK)
    assert card.state == "configured" and card.error == ""
    card.write(HX8K.read_bytes())
    assert card.state == "configured" and card.error.count("\n") == 0 and card.error
    assert not card.error.endswith(".")
    card.load(UPPER)
    assert card.error == ""


def test_modes_owners_and_times(fabric, card):
    card.load(BLINK)
    try:
        group = grp.getgrnam("fpga").gr_gid
    except KeyError:
        group = 0
    for name in ("image", "check", "ctl", "stop", "lease"):
        st = os.stat(card.dir / name)
        assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) == (0o660, 0, group), name
    for name in ("state", "name", "error", "loaded/sha256", "history"):
        st = os.stat(card.dir / name)
        assert (stat.S_IMODE(st.st_mode), st.st_uid) == (0o444, 0), name
    st = os.stat(card.dir)
    assert (stat.S_IMODE(st.st_mode), st.st_gid) == (0o775, group)
    assert stat.S_IMODE(os.stat(fabric.mount).st_mode) == 0o755
    assert stat.S_IMODE(os.stat(card.dir / "loaded").st_mode) == 0o755
    before = time.time() - 1
    card.load(UPPER)
    for name in ("image", "loaded/sha256"):
        assert before <= os.stat(card.dir / name).st_mtime <= time.time() + 1, name
    st = os.stat(card.image)
    assert st.st_size == UPPER.stat().st_size and st.st_blocks * 512 >= st.st_size


def test_an_image_that_is_not_loaded_is_older_than_any_file(card):
    card.load(BLINK)
    assert os.stat(card.image).st_mtime > 0
    (card.dir / "ctl").write_text("clear\n")
    assert os.stat(card.image).st_mtime == 0  # make has a reason to program it
    card.load(BLINK)
    assert os.stat(card.image).st_mtime > 0


def test_telemetry_tells_of_the_design_that_is_loaded_now(card):
    card.load(BLINK)
    blink = card.value("telemetry/luts")
    card.load(UPPER)
    upper = card.value("telemetry/luts")
    card.load(BLINK)
    assert card.value("telemetry/luts") == blink != upper


def test_an_inode_is_for_ever(fabric, card):
    card.load(BLINK)
    first = {path: os.stat(path).st_ino for path in map(str, (card.image, card.dir, card.dir / "state"))}
    assert len(set(first.values())) == 3
    shell(f"ls -lR {fabric.mount} > /dev/null")
    assert {path: os.stat(path).st_ino for path in first} == first


@pytest.mark.parametrize("act, allowed", [
    (lambda d: os.mkdir(d / "sub"), (errno.EPERM,)),
    (lambda d: os.symlink("x", d / "link"), (errno.EPERM,)),
    (lambda d: os.link(d / "state", d / "hard"), (errno.EPERM,)),
    (lambda d: os.mkfifo(d / "fifo"), (errno.EPERM,)),
    (lambda d: os.unlink(d / "state"), (errno.EPERM,)),
    (lambda d: os.unlink(d / "ctl"), (errno.EPERM,)),
    (lambda d: os.rmdir(d / "loaded"), (errno.EPERM, errno.ENOTEMPTY)),
    (lambda d: os.rename(d / "state", d / "status"), (errno.EPERM,)),
    (lambda d: os.rename(d / "image", d / "other"), (errno.EPERM,)),
    (lambda d: os.mkdir(d.parent / "dev7"), (errno.EPERM,)),
    (lambda d: open(d.parent / "new", "w"), (errno.EPERM, errno.EACCES)),
    (lambda d: open(d / "loaded/new", "w"), (errno.EPERM, errno.EACCES)),
    (lambda d: open(d / ("n" * 300), "r"), (errno.ENAMETOOLONG,)),
    (lambda d: open(d / "nothing", "r"), (errno.ENOENT,)),
    (lambda d: open(d / "lease", "w"), (errno.EOPNOTSUPP,)),
], ids=["mkdir", "symlink", "link", "mkfifo", "unlink", "unlink ctl", "rmdir", "rename", "rename image",
        "mkdir in the root", "create in the root", "create in loaded", "long name", "no name", "lease"])
def test_what_the_tree_refuses(card, act, allowed):
    with pytest.raises(OSError) as e:
        act(card.dir)
    assert e.value.errno in allowed, e.value


def test_links_lead_to_the_card(fabric, card):
    assert os.path.realpath(fabric.mount / "by-part" / "iCE40-HX1K" / "dev0") == str(card.dir)
    names = os.listdir(fabric.mount / "by-id")
    assert len(names) == 1
    assert os.path.realpath(fabric.mount / "by-id" / names[0]) == str(card.dir)


def test_attributes_of_the_image_are_those_of_loaded(card):
    card.load(UPPER)
    names = os.listxattr(card.image)
    assert "user.fpga.sha256" in names and "user.fpga.part" in names
    assert os.getxattr(card.image, "user.fpga.sha256").decode().strip() == sha256(UPPER)
    assert os.getxattr(card.image, "user.fpga.part").decode().strip() == "iCE40-HX1K"
    with pytest.raises(OSError) as e:
        os.getxattr(card.image, "user.fpga.nonsense")
    assert e.value.errno == errno.ENODATA


# --- tables -------------------------------------------------------------------


def test_status_is_a_table_with_a_line_a_card(fabric, card):
    card.load(UPPER)
    lines = fabric.read("status").splitlines()
    assert lines[0].split() == ["DEV", "STATE", "PART", "IMAGE", "LOADED", "TEMP", "POWER", "HOLDER"]
    assert lines[1].split()[:3] == ["dev0", "configured", "iCE40-HX1K"]
    assert len(lines) == 2
    starts = [m.start() for m in re.finditer(r"\S+", lines[0])]
    assert all(lines[1][at - 1] == " " and lines[1][at] != " " for at in starts[1:]), "\n".join(lines)


def test_status_json_has_the_keys_of_the_contract(fabric, card):
    card.load(UPPER)
    card.read("telemetry/" + os.listdir(card.dir / "telemetry")[0])
    status = fabric.status()
    assert set(status) >= {"version", "time", "cards", "repositories"}
    assert TIME.match(status["time"]) and status["repositories"] == []
    one, = status["cards"]
    assert set(one) >= {"dev", "name", "vendor", "part", "idcode", "serial", "board", "backend", "location",
                        "state", "error", "progress", "loaded", "lease", "telemetry", "capabilities",
                        "execution", "slots"}
    assert (one["dev"], one["state"], one["lease"], one["slots"]) == ("dev0", "configured", None, [])
    assert set(one["loaded"]) >= set(LOADED) and one["loaded"]["sha256"] == sha256(UPPER)
    assert set(one["progress"]) >= {"phase", "done", "total"} and one["progress"]["phase"] == "idle"
    assert set(one["capabilities"]) >= {"clear", "partial", "readback", "reset"}
    assert one["capabilities"]["clear"] is True and one["capabilities"]["partial"] is False
    assert one["execution"] == "simulated"
    for name, value in one["telemetry"].items():
        assert set(value) >= {"value", "source", "time"}, name
        assert value["source"] in ("sensor", "measured", "decoded", "model"), name
        assert (value["source"] == "model") == name.startswith("model_"), name


def test_status_json_of_an_empty_card_says_null(module_fpga):
    fabric = module_fpga()
    fabric.card().wait_state("unconfigured")
    one, = fabric.status()["cards"]
    assert one["loaded"] is None and one["state"] == "unconfigured"


def test_metrics_are_prometheus_text(fabric, card):
    card.load(UPPER)
    text = fabric.read("metrics")
    sample = re.compile(r'^[a-z_:][a-z0-9_:]*(\{[a-z_]+="([^"\\]|\\.)*"(,[a-z_]+="([^"\\]|\\.)*")*\})? \S+$')
    typed = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        elif not line.startswith("#"):
            assert sample.match(line), line
            float(line.rsplit(" ", 1)[1])
            family = re.sub(r"_(bucket|sum|count)$", "", line.split("{")[0].split()[0])
            assert {family, line.split("{")[0].split()[0]} & typed, line
    values = fabric.metrics()
    states = {k: v for k, v in values.items() if k.startswith("fabricfs_card_state{") and 'dev="dev0"' in k}
    assert sum(states.values()) == 1
    assert [v for k, v in states.items() if 'state="configured"' in k] == [1]
    ok = [v for k, v in values.items() if k.startswith("fabricfs_programs_total") and 'result="ok"' in k]
    assert sum(ok) >= 1
    assert any(k.startswith("fabricfs_program_seconds_bucket") and 'le="+Inf"' in k for k in values)
    assert any(k.startswith("fabricfs_telemetry{") for k in values)
    assert "fabricfs_cache_bytes" in {k.split("{")[0] for k in values}


def test_metrics_and_status_have_telemetry_read_behind_them(fpga):
    fabric = fpga(sim=None, config="cards:\n  - {name: a, backend: sim}\ntelemetry: {max-age: 1ms}\n")
    card = fabric.card()
    card.load(UPPER)

    def metrics():
        values = fabric.metrics()
        return (values['fabricfs_telemetry{dev="dev0",name="bytes_in"}'],
                values['fabricfs_telemetry_time_seconds{dev="dev0"}'])

    def status():
        one = fabric.status()["cards"][0]["telemetry"]["bytes_in"]
        return one["value"], one["time"]

    for ask, sent in (metrics, b"four"), (status, b"and four more"):
        value, when = ask()
        assert card.exchange(sent) == sent.upper()
        # Nobody has opened anything of telemetry/.
        until(lambda: ask()[0] == value + len(sent), "the next values are those of afterwards")
        assert ask()[1] > when


def test_a_sick_card_is_asked_once_and_delays_no_metrics(fpga, tmp_path):
    asked = tmp_path / "asked"
    script = tmp_path / "ask"
    script.write_text(f"#!/bin/sh\necho x >> {asked}\nsleep 600\n")
    script.chmod(0o755)
    config = ("cards:\n  - {name: sick, backend: command, program: [/bin/true], verify: none,"
              f" telemetry: [{script}]}}\ntelemetry: {{max-age: 1ms}}\n")
    fabric = fpga(sim=None, config=config)
    until(asked.exists, "it was asked at the start")
    for _ in range(200):
        assert "fabricfs_build_info" in fabric.read("metrics")
        assert "dev0" in fabric.read("status")
    # Each answer of none takes two seconds.
    assert len(asked.read_text().split()) < 100


def test_events_are_json_lines_with_the_known_keys(fabric, card):
    card.load(UPPER)
    known = set("time dev slot event result reason sha256 size format part design source uid user pid command "
                "container duration_ms".split())
    records = [json.loads(line) for line in fabric.read("events").splitlines()]
    assert records
    for record in records:
        assert set(record) <= known, record
        assert TIME.match(record["time"]) and record["event"]
    assert records[-1]["event"] == "programmed"
    assert json.loads(card.read("events").splitlines()[-1]) == json.loads(card.read("history").splitlines()[-1])


def test_telemetry_is_one_number_a_file(card):
    card.load(UPPER)
    names = os.listdir(card.dir / "telemetry")
    assert names
    for name in names:
        float(card.value(f"telemetry/{name}"))


# --- waiting --------------------------------------------------------------------


def test_poll_wakes_when_the_state_changed_and_clears_with_the_read(card):
    card.load(BLINK)
    with open(card.dir / "state", "rb", buffering=0) as f:
        f.read(100)
        poller = select.poll()
        poller.register(f, select.POLLIN | select.POLLPRI)
        assert poller.poll(50) == []
        worker = threading.Thread(target=card.load, args=(UPPER,))
        worker.start()
        assert poller.poll(20000), "poll did not wake"
        worker.join()
        f.seek(0)
        f.read(100)

        def quiet():
            f.seek(0)
            f.read(100)
            return poller.poll(50) == []
        until(quiet, "ready again and again although nothing changed", 5)


def test_poll_of_error_wakes_on_a_refusal(card):
    card.load(BLINK)
    with open(card.dir / "error", "rb", buffering=0) as f:
        f.read(2000)
        poller = select.poll()
        poller.register(f, select.POLLPRI)
        assert poller.poll(50) == []
        card.write(b"no image")
        assert poller.poll(20000)
        f.seek(0)
        assert b"format" in f.read(2000)


def test_follow_gives_every_record_once_in_order(fabric, card):
    assert ".follow" not in os.listdir(fabric.mount) and ".follow" not in os.listdir(card.dir)
    card.load(BLINK)
    fd = os.open(fabric.mount / ".follow", os.O_RDONLY | os.O_CLOEXEC)
    own = os.open(card.dir / ".follow", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        with pytest.raises(BlockingIOError):
            os.read(own, 4096)
        for image in (UPPER, REGS, UPPER):
            card.load(image)
        got = b""
        while got.count(b'"programmed"') < 3:
            assert select.select([fd], [], [], 20)[0], got
            got += os.read(fd, 4096)
        shas = [json.loads(line)["sha256"] for line in got.splitlines()
                if json.loads(line)["event"] == "programmed"]
        assert shas == [sha256(UPPER), sha256(REGS), sha256(UPPER)]
        mine = b""
        while mine.count(b'"programmed"') < 3:
            assert select.select([own], [], [], 20)[0], mine
            mine += os.read(own, 4096)
        assert [json.loads(line)["sha256"] for line in mine.splitlines()
                if json.loads(line)["event"] == "programmed"] == shas
    finally:
        os.close(fd)
        os.close(own)


def test_a_waiting_follow_ends_with_its_reader(fabric):
    with subprocess.Popen(["cat", fabric.mount / ".follow"], stdout=subprocess.PIPE) as cat:
        until(lambda: open(f"/proc/{cat.pid}/wchan").read() not in ("", "0"), "cat waits")
        cat.send_signal(2)
        assert cat.wait(20) == -2


# --- crawlers -------------------------------------------------------------------


@pytest.fixture(scope="module")
def four(module_fpga):
    fabric = module_fpga(sim=4)
    fabric.card(0).load(UPPER)
    fabric.card(1).load(REGS)
    return fabric


CRAWLERS = [
    ("find", "find {m}", 0),
    ("find -ls", "find {m} -ls", 0),
    ("du", "du -a {m}", 0),
    ("ls -lR", "ls -lR {m}", 0),
    ("grep -r", "grep -r x {m} >/dev/null; test $? -lt 2", None),
    ("tar", "tar cf - -C {m} . > {t}/x.tar", 0),
    ("cp -a", "cp -a {m} {t}/x", 0),
    ("rsync -a", "rsync -a {m}/ {t}/y/", 0),
    ("cat of all", "find {m} -type f ! -path '*/io/*' -exec cat {{}} + | cat > {t}/all", 0),
]


@pytest.mark.parametrize("name, script, status", CRAWLERS, ids=[c[0] for c in CRAWLERS])
def test_crawler_ends_by_itself(four, tmp_path, name, script, status):
    need(script.split()[0])
    start = time.monotonic()
    done = shell(script.format(m=four.mount, t=tmp_path), timeout=60 * SLOW)
    took = time.monotonic() - start
    assert took < 10 * SLOW, f"{name} took {took:.1f} s"
    if status is not None:
        assert done.returncode == status, done.stderr
    assert "Input/output error" not in done.stderr and "changed as we read" not in done.stderr, done.stderr
    assert four.card(0).state == "configured" and four.card(1).state == "configured"


def test_a_copy_of_the_tree_has_its_bytes(four, tmp_path):
    assert shell(f"cp -a {four.mount}/dev0 {tmp_path}/x").returncode == 0
    assert (tmp_path / "x/image").read_bytes() == UPPER.read_bytes()
    assert (tmp_path / "x/loaded/sha256").read_text().strip() == sha256(UPPER)
