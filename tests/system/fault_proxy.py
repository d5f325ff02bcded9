# SPDX-License-Identifier: Apache-2.0
"""A proxy between a daemon and a web server that is slow, breaks and lies as told, and counts.

As a module: `with FaultProxy("127.0.0.1:8080") as proxy: proxy.fault(cut=1000, match="image", times=1)`.
As a program, for benchmarks: fault_proxy.py HOST:PORT [--delay SECONDS] prints its port and
delays bytes by so much each way, at any rate.
"""
import argparse
import asyncio
import dataclasses
import gzip
import re
import socket
import ssl
import struct
import threading
from email.utils import formatdate
import time

PIECE = 64 * 1024
HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "transfer-encoding"}
PAGE = b"<html><head><title>Please log in</title></head><body><form>Who are you?</form></body></html>"


@dataclasses.dataclass
class Fault:
    """What happens to requests whose "METHOD path" matches. The first that applies counts."""
    match: str = ""
    times: int = None  # so often, None = always
    skip: int = 0      # not to the first ones
    delay: float = 0   # seconds before the answer
    status: int = 0    # this answer, without asking the server
    headers: dict = dataclasses.field(default_factory=dict)  # of the answer; None takes one away
    body: bytes = b""
    retry_after: float = None  # seconds, with status
    retry_date: float = None   # the same as a date
    hang: bool = False  # never answered
    close: bool = False  # closed instead of an answer
    cut: int = None     # closed after so many bytes of the body
    reset: int = None   # the same, with a reset
    stall: int = None   # nothing more after so many
    loris: float = None  # a byte of the body each so many seconds
    rate: int = None    # bytes a second
    flip: int = None    # this byte of the whole is another one
    drop_range: bool = False   # the server never sees the range
    shift: int = 0      # bytes from further on come, said to be those asked for
    shift_told: bool = False   # the same, and the answer says so
    path: str = None    # other content: of this path
    page: bool = False  # a page in HTML, with 200
    gzip: bool = False  # packed, though nobody asked
    length: int = 0     # Content-Length says so much more, or less
    redirect: str = None  # in front of the path
    drop_credentials: bool = False  # the server never sees them: its own 401
    seen: int = 0


class Request:
    def __init__(self, method, path, headers):
        self.method, self.path, self.headers = method, path, headers
        self.time = time.monotonic()
        self.status = 0
        self.sent = 0  # bytes of the body

    def __repr__(self):
        return f"<{self.method} {self.path} {self.headers.get('range', '')} {self.status} {self.sent}>"


class Hang(Exception):
    """This connection is not read or written any more, until its other side closes."""


def parse_head(head):
    lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        if line:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
    return lines[0], headers


class FaultProxy:
    def __init__(self, target, delay=0.0, tls=None, target_tls=None):
        """delay: seconds each way. tls: (certificate, key) of the proxy; target_tls: CA of the server."""
        self.target, self.delay = target, delay
        self.tls = tls
        self.target_tls = ssl.create_default_context(cafile=target_tls) if target_tls else None
        self.faults, self.requests = [], []
        self.connections = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    # --- for tests -----------------------------------------------------------------

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(30)

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def fault(self, **kw):
        fault = Fault(**kw)
        self.faults.append(fault)
        return fault

    def heal(self):
        self.faults.clear()

    def forget(self):
        """What was counted."""
        self.requests.clear()
        self.connections = 0

    def count(self, match=""):
        return len(self.matching(match))

    def matching(self, match=""):
        return [r for r in list(self.requests) if re.search(match, f"{r.method} {r.path}")]

    def sent(self, match=""):
        return sum(r.sent for r in self.matching(match))

    # --- the loop ------------------------------------------------------------------

    def _run(self):
        asyncio.set_event_loop(self._loop)
        context = None
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._connection, "127.0.0.1", 0, ssl=context, limit=4 << 20))
        self.port = self._server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
            self._loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        self._loop.close()

    def _end(self):
        self._server.close()
        self._loop.stop()

    async def _connection(self, reader, writer):
        self.connections += 1
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(writer, self.delay)
        server = None
        try:
            if self.delay:
                await asyncio.sleep(2 * self.delay)  # the handshake's round trip
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if self.delay:
                    await asyncio.sleep(self.delay)
                if server is None:
                    server = await self._connect()
                if not await self._exchange(head, reader, link, server):
                    break
            await link.drain()
        except Hang:
            # What it has sent stays where it is; the end is the other side's.
            await link.drain()
            while await reader.read(PIECE):
                pass
        except Break as e:
            await link.drain()
            if e.hard:
                link.reset()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            link.close()
            writer.close()
            if server:
                server[1].close()

    async def _connect(self):
        host, port = self.target.rsplit(":", 1)
        return await asyncio.open_connection(host, int(port), ssl=self.target_tls, limit=4 << 20)

    def _fault_of(self, line):
        for fault in self.faults:
            if re.search(fault.match, line):
                fault.seen += 1
                if fault.seen > fault.skip and (fault.times is None or fault.seen - fault.skip <= fault.times):
                    return fault
        return Fault()

    async def _exchange(self, head, reader, link, server):
        line, headers = parse_head(head)
        method, path, _ = line.split(" ", 2)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Request(method, path, headers)
        self.requests.append(request)
        fault = self._fault_of(f"{method} {path}")
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.hang:
            raise Hang
        if fault.close:
            return False
        own = self._own_answer(fault, path)
        if own:
            request.status, extra, text = own
            return await self._answer(request, fault, link, extra, [text], len(text))
        status, answer, pieces, length = await self._ask(fault, method, path, headers, body, server)
        request.status = status
        return await self._answer(request, fault, link, answer, pieces, length)

    @staticmethod
    def _own_answer(fault, path):
        """An answer without asking the server, or nothing."""
        if fault.status:
            headers = dict(fault.headers)
            if fault.retry_after is not None:
                headers["Retry-After"] = f"{fault.retry_after:.0f}"
            if fault.retry_date is not None:
                now = time.time()
                headers["Date"] = formatdate(now, usegmt=True)
                headers["Retry-After"] = formatdate(now + fault.retry_date, usegmt=True)
            return fault.status, headers, fault.body
        if fault.page:
            return 200, {"Content-Type": "text/html"}, PAGE
        if fault.redirect is not None:
            return 302, {"Location": fault.redirect + path}, b""
        return None

    async def _ask(self, fault, method, path, headers, body, server):
        asked = dict(headers)
        for name in HOP:
            asked.pop(name, None)
        if fault.drop_range:
            asked.pop("range", None)
        if fault.drop_credentials:
            asked.pop("authorization", None)
            asked.pop("x-auth-token", None)
        if fault.shift and "range" in asked:
            asked["range"] = re.sub(r"\d+", lambda m: str(int(m[0]) + fault.shift), asked["range"])
        text = "".join(f"{name}: {value}\r\n" for name, value in asked.items())
        server[1].write(f"{method} {fault.path or path} HTTP/1.1\r\n{text}\r\n".encode("latin-1") + body)
        line, answer = parse_head(await server[0].readuntil(b"\r\n\r\n"))
        status = int(line.split(" ")[1])
        length = None
        if method == "HEAD" or status in (204, 304):
            pieces = self._nothing()
        elif "chunked" in answer.get("transfer-encoding", ""):
            pieces = self._chunks(server[0])
        else:
            length = int(answer.get("content-length", 0))
            pieces = self._bytes(server[0], length)
        if fault.shift and not fault.shift_told and "content-range" in answer:
            answer["content-range"] = re.sub(
                r"\d+(?=[-/])", lambda m: str(int(m[0]) - fault.shift), answer["content-range"], count=2)
        if fault.gzip:
            whole = gzip.compress(b"".join([p async for p in pieces]))
            answer["content-encoding"] = "gzip"
            pieces, length = [whole], len(whole)
        for name in HOP:
            answer.pop(name, None)
        return status, answer, pieces, length

    @staticmethod
    async def _nothing():
        return
        yield  # pylint: disable=unreachable

    @staticmethod
    async def _bytes(reader, length):
        while length:
            piece = await reader.read(min(length, PIECE))
            if not piece:
                raise ConnectionError
            length -= len(piece)
            yield piece

    @staticmethod
    async def _chunks(reader):
        while True:
            n = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
            piece = await reader.readexactly(n)
            await reader.readexactly(2)
            if not n:
                return
            yield piece

    async def _answer(self, request, fault, link, headers, pieces, length):
        bare = request.method == "HEAD" or request.status in (204, 304)
        headers = {name: value for name, value in {**headers, **fault.headers}.items()
                   if value is not None and (bare or name.lower() != "content-length")}
        if length is not None and not bare:
            headers["Content-Length"] = str(length + fault.length)
        elif not bare:
            headers["Transfer-Encoding"] = "chunked"
        text = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        await link.send(f"HTTP/1.1 {request.status} X\r\n{text}\r\n".encode("latin-1"))
        if bare:
            async for _ in pieces if hasattr(pieces, "__aiter__") else self._nothing():
                pass
            return True
        chunked = length is None
        at = self._first(headers)
        async for piece in self._shaped(fault, pieces, at, request):
            await link.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            await link.send(b"0\r\n\r\n")
        return not fault.length

    @staticmethod
    def _first(headers):
        """Where in the whole the body begins."""
        for name, value in headers.items():
            found = re.match(r"bytes (\d+)-", value) if name.lower() == "content-range" else None
            if found:
                return int(found[1])
        return 0

    async def _shaped(self, fault, pieces, at, request):
        """Bytes as the fault wants them; raises what ends them."""
        if not hasattr(pieces, "__aiter__"):
            pieces = self._of_list(pieces)
        limit = min((n for n in (fault.cut, fault.reset, fault.stall) if n is not None), default=None)
        async for piece in pieces:
            if fault.flip is not None and at <= fault.flip < at + len(piece):
                piece = bytearray(piece)
                piece[fault.flip - at] ^= 1
                piece = bytes(piece)
            at += len(piece)
            over = limit is not None and request.sent + len(piece) >= limit
            if over:
                piece = piece[:limit - request.sent]
            step = 1 if fault.loris else max(1, fault.rate // 20) if fault.rate else len(piece) or 1
            for i in range(0, len(piece), step):
                part = piece[i:i + step]
                if fault.loris or fault.rate:
                    await asyncio.sleep(fault.loris or len(part) / fault.rate)
                request.sent += len(part)
                yield part
            if over:
                raise Hang if fault.stall is not None else Break(fault.reset is not None)

    @staticmethod
    async def _of_list(pieces):
        for piece in pieces:
            yield piece


class Break(ConnectionError):
    """The connection ends here, perhaps with a reset."""

    def __init__(self, hard):
        super().__init__()
        self.hard = hard


class Link:
    """Bytes to the daemon: each leaves `delay` after it was sent, however many are on the way."""

    def __init__(self, writer, delay):
        self.writer, self.delay = writer, delay
        self.queue = asyncio.Queue(maxsize=4096) if delay else None
        self.task = asyncio.ensure_future(self._carry()) if delay else None

    async def send(self, data):
        if self.queue is not None:
            await self.queue.put((asyncio.get_running_loop().time() + self.delay, data))
            return
        self.writer.write(data)
        await self.writer.drain()

    async def _carry(self):
        loop = asyncio.get_running_loop()
        while True:
            due, data = await self.queue.get()
            late = due - loop.time()
            if late > 0:
                await asyncio.sleep(late)
            self.writer.write(data)
            await self.writer.drain()
            self.queue.task_done()

    async def drain(self):
        if self.queue is not None:
            await self.queue.join()
        await self.writer.drain()

    def close(self):
        if self.task:
            self.task.cancel()

    def reset(self):
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("target", help="HOST:PORT")
    parser.add_argument("--delay", type=float, default=0, help="seconds, each way")
    args = parser.parse_args()
    with FaultProxy(args.target, args.delay) as proxy:
        print(proxy.port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
