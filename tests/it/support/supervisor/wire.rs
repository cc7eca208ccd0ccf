//! How header names were written on the wire. HTTP libraries forget it; the Supervisor's does not.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Everything that was read from one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Wire(Arc<Mutex<Vec<u8>>>);

impl Wire {
    /// The same stream, with what is read from it being kept.
    pub(super) fn listen_to(&self, stream: TcpStream) -> Tapped {
        Tapped {
            stream,
            wire: self.clone(),
        }
    }

    /// The header lines of the first request, as they were written.
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let read = self.0.lock().unwrap();
        let text = String::from_utf8_lossy(&read);
        let head = text.split("\r\n\r\n").next().unwrap_or_default();
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect()
    }
}

/// A stream with a listener.
pub(super) struct Tapped {
    stream: TcpStream,
    wire: Wire,
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let fresh = &buffer.filled()[before..];
        self.wire.0.lock().unwrap().extend_from_slice(fresh);
        read
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
