//! Ports for programs that must be told one.
//!
//! They lie below the range from which Linux takes the ports of outgoing connections (from 32768), so that no
//! connection of a busy machine takes one between our look and the program's.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 12_000;
const LAST: u16 = 19_999;

/// A port of the loopback address that is free now and was not given out before by this process.
pub(crate) fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let range = LAST - FIRST + 1;
    // Test binaries that run side by side begin at different places.
    let begin = (std::process::id() as u16).wrapping_mul(61) % range;
    (0..range)
        .map(|_| FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed) % range) % range)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .unwrap_or_else(|| panic!("no free port between {FIRST} and {LAST}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_free() {
        let (one, other) = (free(), free());
        assert_ne!(one, other);
        // Somebody else on this machine may take a port in between: not each time.
        let taken = (0..5).filter(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, free())).is_err()).count();
        assert!(taken < 5, "no port that was called free could be had");
    }
}
