//! A buffer for text that may hold plaintext: what it outgrows is wiped.

use std::{fmt, io, mem};
use zeroize::Zeroizing;

/// Grows like a `Vec`, but wipes the old allocation. Write to it through `fmt` or `io`.
pub(crate) struct WipingBuffer(Zeroizing<Vec<u8>>);

impl WipingBuffer {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(self.0.capacity() * 2)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }

    pub(crate) fn into_text(mut self) -> Zeroizing<String> {
        // Neither step copies: the allocation moves.
        Zeroizing::new(String::from_utf8(mem::take(&mut *self.0)).expect("only whole strings were written"))
    }
}

impl fmt::Write for WipingBuffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

impl io::Write for WipingBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn holds_what_was_written_across_growth() {
        let mut buffer = WipingBuffer::with_capacity(1);
        let mut expected = String::new();
        for n in 0..1000 {
            write!(buffer, "{n},").unwrap();
            write!(expected, "{n},").unwrap();
        }
        assert_eq!(*buffer.into_text(), expected);
    }
}
