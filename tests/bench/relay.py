# SPDX-License-Identifier: Apache-2.0
"""A relay of TCP that delays bytes by so much each way, at any rate, and counts them; the same for all who are compared."""
import asyncio
import threading


class Relay:
    """with Relay("127.0.0.1", 8080, delay=0.01) as relay: relay.port; relay.received is what came from the server."""

    def __init__(self, host, port, delay=0.0):
        self.target, self.delay = (host, port), delay
        self.received = self.sent = self.connections = 0
        self.port = 0
        self._loop, self._ready = asyncio.new_event_loop(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)

    def forget(self):
        self.received = self.sent = self.connections = 0

    def _run(self):
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0, limit=1 << 20))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    async def _accept(self, reader, writer):
        self.connections += 1
        if self.delay:
            await asyncio.sleep(2 * self.delay)  # the handshake's round trip
        try:
            server_reader, server_writer = await asyncio.open_connection(*self.target, limit=1 << 20)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._carry(reader, server_writer, False), self._carry(server_reader, writer, True))

    async def _carry(self, reader, writer, from_server):
        queue = asyncio.Queue(maxsize=4096)
        deliver = asyncio.ensure_future(self._deliver(queue, writer))
        try:
            while data := await reader.read(1 << 18):
                if from_server:
                    self.received += len(data)
                else:
                    self.sent += len(data)
                await queue.put((self._loop.time() + self.delay, data))
        except OSError:
            pass
        await queue.put((0, b""))
        await deliver

    async def _deliver(self, queue, writer):
        try:
            while True:
                due, data = await queue.get()
                if not data:
                    break
                wait = due - self._loop.time()
                if self.delay and wait > 0:
                    await asyncio.sleep(wait)
                writer.write(data)
                await writer.drain()
        except OSError:
            while (await queue.get())[1]:
                pass
        writer.close()
