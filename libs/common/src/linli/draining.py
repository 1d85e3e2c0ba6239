"""How a service's connections end when it stops (连接排空): no request is lost that was on its way."""

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MOMENT: Final = 1.0
"""Seconds in which a request still comes that was sent before the gateway could know that this service stops."""


class DrainingProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which waits a moment before it closes a connection on which nothing is asked.

    The other closes it at once, also when the gateway has just sent a request on it. A POST may not be sent again, so
    whoever sent it would see 502. A request that comes within the moment is answered, and the answer ends its
    connection.
    """

    _stopping = False

    def shutdown(self) -> None:
        """End when nothing is being answered and nothing more is on its way."""
        self._stopping = True
        if self._idle():
            self.loop.call_later(_MOMENT, self._close_if_idle)
        else:
            super().shutdown()

    def on_headers_complete(self) -> None:
        """Answer one more request, and have the answer say that it is the last."""
        super().on_headers_complete()
        if self._stopping:
            self.cycle.keep_alive = False

    def _idle(self) -> bool:
        return not self.cycle or self.cycle.response_complete

    def _close_if_idle(self) -> None:
        if self._idle():
            self.transport.close()
